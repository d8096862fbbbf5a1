import type { ServerResponse } from "node:http";
import type { DeliveryStore } from "../deliveries/store.js";
import type { Batch, Row } from "../wire.js";
import { beginStream } from "./respond.js";

/** Rows wait so long for others, so that a page draws many at once. */
const BATCH_MS = 50;
const BATCH_ROWS = 500;
/** A comment now and then tells proxies, and finds out whether the page is still there. */
const KEEP_ALIVE_MS = 15_000;

/**
 * Sends all rows and then each change, as server-sent events. A page that reads slowly gets fewer, larger
 * batches: only the ids of the changed rows wait for it. `hide` takes the secrets out of types, the only text
 * of a row that a sender chooses. Resolves when the page has gone.
 */
export async function streamRows(
  store: DeliveryStore,
  response: ServerResponse,
  hide: (types: readonly string[]) => readonly string[],
): Promise<void> {
  const pending = new Set<number>();
  for (const { row } of store.entries()) pending.add(row.id);
  let wake = () => {};
  let isOpen = true;
  const woken = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  const unsubscribe = store.subscribe((id) => {
    pending.add(id);
    wake();
  });
  const keepAlive = setInterval(() => response.write(":\n\n"), KEEP_ALIVE_MS);
  keepAlive.unref();
  response.on("drain", () => wake());
  response.on("close", () => {
    isOpen = false;
    unsubscribe();
    clearInterval(keepAlive);
    wake();
  });
  beginStream(response);
  // At least one batch, so that a page knows that there is nothing.
  response.write(messageOf({ rows: [], oldest: store.oldest() }));
  while (isOpen) {
    if (pending.size === 0) {
      await woken();
      await new Promise((resolve) => setTimeout(resolve, BATCH_MS));
    }
    if (isOpen) response.write(messageOf(nextBatch(store, pending, hide)));
    while (isOpen && response.writableNeedDrain) await woken();
  }
}

function nextBatch(
  store: DeliveryStore,
  pending: Set<number>,
  hide: (types: readonly string[]) => readonly string[],
): Batch {
  const rows: Row[] = [];
  for (const id of pending) {
    if (rows.length === BATCH_ROWS) break;
    pending.delete(id);
    const entry = store.get(id);
    if (entry) rows.push({ ...entry.row, types: hide(entry.row.types) });
  }
  return { rows, oldest: store.oldest() };
}

function messageOf(batch: Batch): string {
  return `data: ${JSON.stringify(batch)}\n\n`;
}

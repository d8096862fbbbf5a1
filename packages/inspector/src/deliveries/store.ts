import type { Row } from "../wire.js";
import { type Captured, rowOf } from "./captured.js";

export interface StoreLimits {
  readonly deliveries: number;
  /** The size of all bodies and events together. */
  readonly bytes: number;
}

export interface Entry {
  readonly row: Row;
  readonly captured: Captured;
}

/** Keeps the newest deliveries in memory. */
export interface DeliveryStore {
  add(captured: Captured, replayOf?: number): Row;
  /** Changes a delivery that is still kept. */
  update(id: number, change: Partial<Captured>): void;
  get(id: number): Entry | undefined;
  /** Oldest first. */
  entries(): Iterable<Entry>;
  /** The id of the oldest delivery that is kept. */
  oldest(): number;
  /** Calls `listener` with the id of each delivery that is added or changed. */
  subscribe(listener: (id: number) => void): () => void;
}

/** About what an event takes in memory, in bytes. */
const EVENT_BYTES = 300;
const ENTRY_BYTES = 1_000;

export function createStore(limits: StoreLimits): DeliveryStore {
  const entries = new Map<number, Entry>();
  const listeners = new Set<(id: number) => void>();
  let lastId = 0;
  let bytes = 0;

  function remove(id: number): void {
    const entry = entries.get(id);
    if (entry === undefined) return;
    bytes -= sizeOf(entry.captured);
    entries.delete(id);
  }

  function notify(id: number): void {
    for (const listener of listeners) listener(id);
  }

  const oldest = () => entries.keys().next().value ?? lastId + 1;

  return {
    add(captured, replayOf) {
      const id = ++lastId;
      const row = rowOf(id, captured, replayOf);
      entries.set(id, { row, captured });
      bytes += sizeOf(captured);
      // The newest delivery stays, however large it is.
      while (entries.size > 1 && (entries.size > limits.deliveries || bytes > limits.bytes)) remove(oldest());
      notify(id);
      return row;
    },

    update(id, change) {
      const entry = entries.get(id);
      if (entry === undefined) return;
      const captured = { ...entry.captured, ...change };
      bytes += sizeOf(captured) - sizeOf(entry.captured);
      // `set` of a key that is there keeps the order.
      entries.set(id, { row: rowOf(id, captured, entry.row.replayOf), captured });
      notify(id);
    },

    get: (id) => entries.get(id),
    entries: () => entries.values(),
    oldest,

    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function sizeOf({ body, events, forwarded }: Captured): number {
  const answer = forwarded?.answer?.body.length ?? 0;
  return ENTRY_BYTES + (body?.byteLength ?? 0) + events.length * EVENT_BYTES + 2 * answer;
}

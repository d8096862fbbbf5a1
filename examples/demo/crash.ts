/**
 * Kills a worker process with SIGKILL in the middle of a listener's transaction, again and again, and
 * counts afterwards: each event must have one row and one completion. Exits with 0 only if it is so.
 * Needs nothing but a temporary folder: the database is PGlite. `KILLS` sets the number of kills.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PGlite } from "@electric-sql/pglite";

const KILLS = Number(process.env.KILLS ?? 10);
/** How many events each process stores. */
const EVENTS = 10;

const dataDir = mkdtempSync(join(tmpdir(), "crowdhook-crash-"));
const sent: string[] = [];

/** Starts a worker and gives it new events. Resolves once it has answered their delivery with 200. */
async function start(events = EVENTS) {
  const ids = Array.from({ length: events }, () => randomUUID());
  const script = fileURLToPath(new URL("crash-worker.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, dataDir, ...ids], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout);
  const next = async (wanted: string) => {
    const exit = once(child, "exit").then(() => {
      throw new Error("The worker ended by itself.");
    });
    exit.catch(() => {});
    for (;;) {
      const [line] = (await Promise.race([once(lines, "line"), exit])) as [string];
      if (line === wanted) return;
    }
  };
  await next("stored");
  sent.push(...ids);
  return { child, isWriting: () => next("writing") };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
}

console.log(`A worker writes a row for each event. It is killed ${KILLS} times while a row is written.\n`);
for (let kill = 1; kill <= KILLS; kill++) {
  const { child, isWriting } = await start();
  for (let writes = Math.floor(Math.random() * 5); writes >= 0; writes--) await isWriting();
  await delay(Math.random() * 15);
  await end(child, "SIGKILL");
  console.log(`kill ${String(kill).padStart(3)}   events sent: ${sent.length}`);
}

console.log("\nThe last worker handles the rest.");
let completed: string[] = [];
let rows: string[] = [];
/** How many looks in a row found no progress. */
let idle = 0;
for (let look = 0; look === 0 || (idle < 3 && completed.length < sent.length); look++) {
  const { child } = await start(look === 0 ? EVENTS : 0);
  // Events of a killed worker wait for their backoff.
  await delay(4_000);
  await end(child, "SIGTERM");
  const db = await PGlite.create(dataDir);
  const idsOf = async (statement: string) =>
    (await db.query<{ id: string }>(statement)).rows.map(({ id }) => id);
  const before = completed.length;
  completed = await idsOf("SELECT data->>'id' AS id FROM crowdhook.job WHERE state = 'completed'");
  idle = completed.length > before ? 0 : idle + 1;
  rows = await idsOf("SELECT event AS id FROM payments");
  await db.close();
}
rmSync(dataDir, { recursive: true, force: true });

const same = (ids: string[]) => JSON.stringify([...ids].sort()) === JSON.stringify([...sent].sort());
console.log(`
events sent        ${sent.length}
rows written       ${rows.length}
events completed   ${completed.length}
`);
if (!same(rows) || !same(completed)) {
  console.log("They are not equal: an effect was lost or doubled.");
  process.exit(1);
}
console.log("They are equal: no effect was lost, and none was doubled.");

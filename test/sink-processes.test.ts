import { setTimeout as delay } from "node:timers/promises";
import type { FailedEvent } from "@crowdhook/core/sink";
import { tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { seededRandom } from "./seeded-random.js";
import {
  ENGINES,
  idsOf,
  journalOf,
  kill,
  pglite,
  post,
  type Started,
  start,
  stream,
  until,
  verdictOn,
} from "./sink-processes.js";

const SEED = Number(process.env.SINK_SEED ?? 20_261_122);
/** How often the only process of a folder is killed. 100 kills take more than two minutes. */
const PGLITE_KILLS = Number(process.env.SINK_KILLS ?? 12);
const WORKER_KILLS = 12;

const SERVERS = ENGINES.slice(1);
for (const { missing } of ENGINES) if (missing) console.warn(missing);

test(`on PGlite, ${PGLITE_KILLS} kills of the only process lose no answered event and repeat no completed one`, {
  timeout: 120_000 + PGLITE_KILLS * 10_000,
}, async ({ signal }) => {
  const random = seededRandom(SEED);
  const engine = await pglite();
  const journal = journalOf("pglite-kills");
  const app = (seed: number) =>
    start({
      sink: engine.sink,
      journal: journal.file,
      seed,
      receives: true,
      works: 8,
      takes: [0, 60],
      failing: 0.1,
    });
  let current = await app(SEED);
  const deliveries = stream(3, random, signal, () => [current.origin]);
  // Creating the database takes some seconds.
  await deliveries.has(1);
  for (let kills = 1; kills <= PGLITE_KILLS; kills++) {
    await delay(random() * 2_500);
    await kill(current.child);
    current = await app(SEED + kills);
  }
  await deliveries.end();
  await journal.has("succeeded", deliveries.answered);
  expect(await kill(current.child, "SIGTERM")).toBe(0);
  // Events that were handled, but not completed before a kill, are handled again.
  let rows = await engine.rows();
  for (let again = 1; again <= 5 && rows.some(({ state }) => state !== "completed"); again++) {
    current = await app(SEED - again);
    await post(current.origin, [tolokaEvent("POOL_CLOSED")]);
    await delay(3_000);
    expect(await kill(current.child, "SIGTERM")).toBe(0);
    rows = await engine.rows();
  }
  const { lost, notCompleted, begunAfterCompletion, ...figures } = verdictOn(
    journal,
    rows,
    deliveries.answered,
  );
  console.log("PGlite", { kills: PGLITE_KILLS, ...figures, rows: rows.length }, deliveries.statuses);
  expect(lost).toEqual([]);
  expect(notCompleted).toEqual([]);
  expect(begunAfterCompletion).toEqual([]);
  // Otherwise the kills interrupted nothing.
  expect(figures.cutShort).toBeGreaterThan(0);
  await engine.close();
});

describe.each(SERVERS)("on $name", ({ name, open, missing }) => {
  test.skipIf(missing)(
    `${missing ?? ""} random kills of workers and a kill of the server lose no answered event and repeat no completed one`,
    { timeout: 360_000 },
    async ({ signal }) => {
      const random = seededRandom(SEED);
      const engine = await open();
      const journal = journalOf(`${name}-kills`);
      const common = { sink: engine.sink, journal: journal.file };
      const worker = (seed: number) => start({ ...common, seed, works: 4, takes: [0, 60], failing: 0.1 });
      const webs = await Promise.all([1, 2].map(() => start({ ...common, receives: true })));
      const workers = await Promise.all([1, 2, 3, 4].map((i) => worker(SEED + i)));
      const deliveries = stream(3, random, signal, () => webs.map(({ origin }) => origin));
      let restarting: Promise<void> | undefined;
      for (let kills = 1; kills <= WORKER_KILLS; kills++) {
        const i = Math.floor(random() * workers.length);
        await delay(random() * 1_000);
        await kill((workers[i] as Started).child);
        if (kills === WORKER_KILLS / 2) restarting = engine.restart?.();
        workers[i] = await worker(SEED + 10 + kills);
      }
      await restarting;
      await deliveries.end();
      await journal.has("succeeded", deliveries.answered);
      // Events that were handled, but not completed before a kill, are handled again.
      const rows = await until("all completed", async () => {
        const rows = await engine.rows();
        return rows.every(({ state }) => state === "completed") ? rows : undefined;
      });
      const exits = [...webs, ...workers].map(({ child }) => kill(child, "SIGTERM"));
      expect(await Promise.all(exits)).toEqual([0, 0, 0, 0, 0, 0]);
      const { lost, begunAfterCompletion, ...figures } = verdictOn(journal, rows, deliveries.answered);
      console.log(name, { kills: WORKER_KILLS, ...figures, rows: rows.length }, deliveries.statuses);
      expect(lost).toEqual([]);
      expect(begunAfterCompletion).toEqual([]);
      expect(figures.cutShort).toBeGreaterThan(0);
      await engine.close();
    },
  );

  test.skipIf(missing).each([
    { when: "while it is paused", takes: 3_000 },
    { when: "after its signal aborted", takes: 9_000 },
  ])(
    `${missing ?? ""} another worker takes over the event of a paused worker, whose late failure $when changes nothing`,
    { timeout: 240_000 },
    async ({ takes }) => {
      const engine = await open();
      const journal = journalOf(`${name}-paused-${takes}`);
      const common = { sink: engine.sink, journal: journal.file };
      const paused = await start({ ...common, works: 1, takes: [takes, takes], poison: "POOL_CLOSED" });
      const web = await start({ ...common, receives: true });
      const event = tolokaEvent("POOL_CLOSED");
      expect(await post(web.origin, [event])).toBe(200);
      await journal.has("begun", [event.uuid]);
      paused.child.kill("SIGSTOP");
      await start({ ...common, works: 1, takes: [6_000, 6_000] });
      await until("a second begin", () => journal.of("begun").length === 2 || undefined);
      paused.child.kill("SIGCONT");
      if (takes > 3_000) await journal.has("aborted", [event.uuid]);
      await journal.has("failed", [event.uuid]);
      await journal.has("succeeded", [event.uuid]);
      await until("completed", async () => {
        const [row] = await engine.rows();
        return row?.state === "completed" || undefined;
      });
      expect(journal.of("begun").map(({ attempt }) => attempt)).toEqual([1, 2]);
      await engine.close();
    },
  );
});

describe.each(ENGINES)("on $name", ({ name, open, missing }) => {
  test.skipIf(missing)(
    `${missing ?? ""} a third process lists and replays an event that always fails, which does not delay its siblings`,
    async () => {
      const engine = await open({ attempts: 3 });
      const journal = journalOf(`${name}-poison`);
      const options = { sink: engine.sink, journal: journal.file };
      const isFolder = engine.restart === undefined;
      const broken = { ...options, works: 4, poison: "POOL_CLOSED" };
      // Only one process can use a folder.
      const web = await start({ ...(isFolder ? broken : options), receives: true });
      const worker = isFolder ? web : await start(broken);
      const poison = tolokaEvent("POOL_CLOSED");
      const siblings = Array.from({ length: 5 }, () => tolokaEvent("ASSIGNMENT_SUBMITTED"));
      expect(await post(web.origin, [...siblings.slice(2), poison, ...siblings.slice(0, 2)])).toBe(200);
      await journal.has("succeeded", idsOf(siblings));
      await until("three attempts", () => journal.of("failed").length === 3 || undefined);
      // The process stores the outcomes before it ends.
      expect(await kill(worker.child, "SIGTERM")).toBe(0);

      const third = await start({ ...options, replays: true });
      const failed = (JSON.parse(third.printed) as FailedEvent[]).map(({ id, error, attempts, event }) => ({
        id,
        error,
        attempts,
        type: event.type,
      }));
      expect(failed).toEqual([
        {
          id: `toloka:${poison.uuid}`,
          error: "RangeError: This attempt was chosen to fail.",
          attempts: 3,
          type: "POOL_CLOSED",
        },
      ]);
      await kill(third.child, "SIGTERM");
      const repaired = await start({ ...options, works: 4, receives: isFolder });
      await journal.has("succeeded", [poison.uuid]);
      expect(await kill(repaired.child, "SIGTERM")).toBe(0);
      if (!isFolder) expect(await kill(web.child, "SIGTERM")).toBe(0);
      expect(journal.of("begun").flatMap(({ id, attempt }) => (id === poison.uuid ? [attempt] : []))).toEqual(
        [1, 2, 3, 1],
      );
      expect(journal.of("begun")).toHaveLength(9);
      expect((await engine.rows()).map(({ state }) => state)).toEqual(Array(6).fill("completed"));
      await engine.close();
    },
    240_000,
  );

  test.skipIf(missing)(
    `${missing ?? ""} a delivery is answered before its listener ends`,
    async () => {
      const engine = await open();
      const journal = journalOf(`${name}-slow`);
      const app = await start({
        sink: engine.sink,
        journal: journal.file,
        receives: true,
        works: 1,
        // Longer than the lease, so the worker has to renew it.
        takes: [5_000, 5_000],
      });
      const event = tolokaEvent("POOL_CLOSED");
      expect(await post(app.origin, [event])).toBe(200);
      await journal.has("begun", [event.uuid]);
      // The only worker is busy with the first event.
      expect(await post(app.origin, [tolokaEvent("POOL_CLOSED")])).toBe(200);
      expect(journal.of("succeeded")).toEqual([]);
      // The process waits for the running listener.
      expect(await kill(app.child, "SIGTERM")).toBe(0);
      expect(journal.read().map(({ note, id }) => [note, id])).toEqual([
        ["begun", event.uuid],
        ["succeeded", event.uuid],
      ]);
      await engine.close();
    },
    240_000,
  );
});

test("one of two processes opens a folder after a kill; the other one answers 503 until the first one ends", {
  timeout: 240_000,
}, async () => {
  const engine = await pglite();
  const journal = journalOf("pglite-two");
  const options = { sink: engine.sink, journal: journal.file, receives: true, works: 1 };
  const killed = await start(options);
  const first = tolokaEvent("POOL_CLOSED");
  expect(await post(killed.origin, [first])).toBe(200);
  await kill(killed.child);
  const two = await Promise.all([start(options), start(options)]);
  const deliveries = [tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")];
  const statuses = await Promise.all(two.map(({ origin }, i) => post(origin, deliveries.slice(i))));
  expect([...statuses].sort()).toEqual([200, 503]);
  const [winner, loser] = (statuses[0] === 200 ? two : two.reverse()) as [Started, Started];
  expect(await post(loser.origin, deliveries)).toBe(503);
  expect(await kill(winner.child, "SIGTERM")).toBe(0);
  await until("an answer", async () => (await post(loser.origin, deliveries)) === 200 || undefined);
  await journal.has("succeeded", idsOf([first, ...deliveries]));
  expect(await kill(loser.child, "SIGTERM")).toBe(0);
  expect(await engine.rows()).toHaveLength(3);
  await engine.close();
});

import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Answer, post } from "./post.js";
import { redisMissing } from "./redis-server.js";
import { seededRandom } from "./seeded-random.js";
import {
  type Delivery,
  ended,
  idsOf,
  inLanes,
  missingFrom,
  newDelivery,
  repeatedIn,
  secondsSince,
  shuffled,
  Tally,
  useWebProcesses,
  type Worker,
} from "./web-processes.js";

const SEED = 20_260_717;

const missing = redisMissing("own");
if (missing) console.warn(missing);

describe.skipIf(missing)(`web processes that share a Redis ${missing ?? ""}`, () => {
  const { startRedis, startWorker, journalOf } = useWebProcesses();

  interface Run {
    readonly deliveries: number;
    readonly kills: number;
    readonly takes: [number, number];
    readonly lease?: number;
    readonly signal: AbortSignal;
  }

  /** Sends each delivery 4 times, in random order and to random ones of eight processes, until it gets 200. */
  async function bombard({ deliveries: count, kills, takes, lease, signal }: Run) {
    const random = seededRandom(SEED);
    const redis = await startRedis();
    const journal = journalOf(`kills-${kills}`);
    const start = (seed: number) =>
      startWorker({
        redis: redis.url,
        journal: journal.file,
        seed,
        takes,
        failing: 0.05,
        ...(lease !== undefined && { lease }),
      });
    const workers = await Promise.all(Array.from({ length: 8 }, (_, i) => start(SEED + i)));
    const deliveries = Array.from({ length: count }, () => newDelivery(5));
    const copies = shuffled(
      deliveries.flatMap((delivery) => Array<Delivery>(4).fill(delivery)),
      random,
    );

    const answers = new Tally();
    const agent = new http.Agent({ keepAlive: true });
    const restarts: Promise<void>[] = [];
    let delivered = 0;
    const killOne = () => {
      const i = Math.floor(random() * workers.length);
      const worker = workers[i] as Worker;
      worker.process.kill("SIGKILL");
      restarts.push(
        start(SEED + 100 + restarts.length).then((restarted) => {
          workers[i] = restarted;
        }),
      );
    };
    const begin = performance.now();
    await inLanes(64, copies, async ({ events }) => {
      for (;;) {
        signal.throwIfAborted();
        const { origin } = workers[Math.floor(random() * workers.length)] as Worker;
        const answer = await post(`${origin}/toloka-webhook`, events, agent).catch(() => undefined);
        answers.add(answer ? [answer.status, answer.code].filter(Boolean).join(" ") : "none");
        if (answer?.status === 200) break;
        await delay(50 + random() * 100);
      }
      // Progress, not time, triggers a kill: so the kills spread over the run.
      if (++delivered % Math.ceil(copies.length / (kills + 1)) === 0 && restarts.length < kills) killOne();
    });
    const seconds = secondsSince(begin);
    await Promise.all(restarts);
    agent.destroy();

    const ids = idsOf(deliveries);
    const succeeded = journal.count("succeeded");
    const total = [...succeeded.values()].reduce((sum, times) => sum + times, 0);
    const ends = total + [...journal.count("failed").values()].reduce((sum, times) => sum + times, 0);
    const begun = [...journal.count("begun").values()].reduce((sum, times) => sum + times, 0);
    console.log(
      `${count} deliveries of 5 events, each sent 4 times; answers ${answers}; ${total} events handled successfully, ` +
        `${ends - total} calls failed, ${begun - ends} cut short, ${total - succeeded.size} duplicates, ${restarts.length} kills, ${seconds} s`,
    );
    return {
      journal,
      lost: missingFrom(succeeded, ids),
      repeated: repeatedIn(succeeded),
      handled: total,
      failed: ends - total,
      cutShort: begun - ends,
      kills: restarts.length,
    };
  }

  test("eight processes handle every event exactly once, however often and wherever it is delivered", {
    timeout: 240_000,
  }, async ({ signal }) => {
    const run = await bombard({ deliveries: 2_000, kills: 0, takes: [0, 3], signal });
    expect(run.lost).toEqual([]);
    expect(run.repeated).toEqual([]);
    expect(run.handled).toBe(10_000);
    // Otherwise no call failed, and nothing was retried.
    expect(run.failed).toBeGreaterThan(100);
  });

  test("random kills lose no event and repeat none that Redis has confirmed as done", {
    timeout: 240_000,
  }, async ({ signal }) => {
    const run = await bombard({ deliveries: 1_000, kills: 20, takes: [0, 15], lease: 3_000, signal });
    expect(run.lost).toEqual([]);
    expect(run.journal.begunAfterSettled()).toEqual([]);
    expect(run.kills).toBe(20);
    // Or the kills have hit nothing.
    expect(run.cutShort).toBeGreaterThan(0);
  });

  test.for([
    { client: "queues commands", offlineQueue: true },
    { client: "rejects commands", offlineQueue: false },
  ])(
    "deliveries during an outage of Redis get 503 in time and succeed later, with a client that $client",
    {
      timeout: 240_000,
    },
    async ({ offlineQueue }, { signal }) => {
      const random = seededRandom(SEED);
      // This Redis writes before it answers: after the outage it still knows the events that are done.
      const redis = await startRedis(
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--appenddirname",
        `queue-${offlineQueue}`,
      );
      const journal = journalOf(`outage-${offlineQueue}`);
      const worker = await startWorker({
        redis: redis.url,
        journal: journal.file,
        seed: SEED,
        takes: [0, 5],
        failing: 0,
        offlineQueue,
        // Events that run when Redis stops stay claimed until their lease expires.
        lease: 2_000,
      });
      const agent = new http.Agent({ keepAlive: true });
      let state = "before" as "before" | "out" | "back";
      const deliveries: Delivery[] = [];
      const answers = new Tally();
      const duringOutage: (Answer & { took: number })[] = [];
      const refused = new Set<Delivery>();
      const sentMeanwhile: Delivery[] = [];
      let begunMeanwhile: readonly string[] = [];

      const deliver = async (delivery: Delivery) => {
        for (;;) {
          signal.throwIfAborted();
          const sentIn = state;
          const sentAt = performance.now();
          // Rejects if the web process crashes.
          const answer = await post(`${worker.origin}/toloka-webhook`, delivery.events, agent);
          answers.add([answer.status, answer.code].filter(Boolean).join(" "));
          if (sentIn === "out" && state === "out") {
            duringOutage.push({ ...answer, took: performance.now() - sentAt });
            refused.add(delivery);
          }
          if (answer.status === 200) return;
          await delay(300 + random() * 700);
        }
      };
      const begin = performance.now();
      const sending: Promise<void>[] = [];
      const load = (async () => {
        for (let afterwards = 100; afterwards > 0; ) {
          if (state === "back") afterwards--;
          const delivery = newDelivery(3);
          deliveries.push(delivery);
          if (state === "out") sentMeanwhile.push(delivery);
          sending.push(deliver(delivery));
          await delay(10, undefined, { signal });
        }
      })();
      const outage = (async () => {
        while (answers.of(200) < 100) await delay(5, undefined, { signal });
        await redis.control?.stop();
        state = "out";
        // The length of the outage. Deliveries arrive meanwhile.
        await delay(5_000);
        const begun = journal.count("begun");
        begunMeanwhile = idsOf(sentMeanwhile).filter((id) => begun.has(id));
        state = "back";
        await redis.control?.start();
      })();
      await Promise.all([load, outage]);
      await Promise.all(sending);
      const seconds = secondsSince(begin);
      agent.destroy();

      const succeeded = journal.count("succeeded");
      const slowest = Math.max(...duringOutage.map(({ took }) => took));
      console.log(
        `${deliveries.length} deliveries of 3 events, Redis gone for 5 s; answers ${answers}; while it was gone ${duringOutage.length} ` +
          `to ${refused.size} deliveries, the slowest after ${(slowest / 1000).toFixed(2)} s; ${succeeded.size} events handled, ` +
          `${repeatedIn(succeeded).length} of them again, ${seconds} s`,
      );
      expect(refused.size).toBeGreaterThan(50);
      for (const answer of duringOutage) {
        expect(answer).toMatchObject({ status: 503, code: "STORE_UNAVAILABLE", retryAfter: "5" });
      }
      // Without a claim, no listener may run.
      expect(begunMeanwhile).toEqual([]);
      // The limit is three seconds. A call without a limit would take the whole outage of five.
      expect(slowest).toBeLessThan(4_500);
      expect(missingFrom(succeeded, idsOf(deliveries))).toEqual([]);
      expect(journal.begunAfterSettled()).toEqual([]);
      expect(worker.process.exitCode ?? worker.process.signalCode).toBeNull();
    },
  );

  test("a process under load answers accepted deliveries after SIGTERM, refuses new ones with 503, and exits with 0", {
    timeout: 120_000,
  }, async ({ signal }) => {
    const redis = await startRedis();
    const random = seededRandom(SEED);
    const journal = journalOf("sigterm");
    const worker = await startWorker({
      redis: redis.url,
      journal: journal.file,
      seed: SEED,
      takes: [50, 300],
      failing: 0,
    });
    const answers = new Tally();
    const answered = new Map<string, Answer>();
    const events = new Map<string, string>();
    let terminated = 0;
    let sent = 0;
    let refused = 0;
    const lane = async () => {
      // One connection that stays open, so that requests still reach the process after SIGTERM.
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        signal.throwIfAborted();
        const request = String(sent++);
        const delivery = newDelivery(1);
        events.set(request, idsOf([delivery])[0] ?? "");
        try {
          const answer = await post(`${worker.origin}/toloka-webhook?${request}`, delivery.events, agent);
          answered.set(request, answer);
          answers.add([answer.status, answer.code].filter(Boolean).join(" "));
          if (answer.status === 503) await delay(5 + random() * 10);
        } catch (error) {
          answers.add((error as NodeJS.ErrnoException).code ?? String(error));
          refused++;
          agent.destroy();
          return;
        }
        if (terminated === 0 && answers.of(200) >= 200) {
          terminated = performance.now();
          worker.process.kill("SIGTERM");
        }
      }
    };
    let took = Number.NaN;
    const exit = ended(worker.process).finally(() => {
      took = performance.now() - terminated;
    });
    const [exitCode] = await Promise.all([exit, ...Array.from({ length: 32 }, lane)]);

    const accepted = [...journal.count("accepted").keys()];
    const succeeded = journal.count("succeeded");
    const settled = journal.count("settled");
    console.log(
      `${sent} deliveries to a process with listeners of up to 300 ms; answers ${answers}; ${accepted.length} accepted, ` +
        `${accepted.filter((request) => !answered.has(request)).length} of them cut off; exit code ${exitCode} ${(took / 1000).toFixed(2)} s after SIGTERM`,
    );
    expect(accepted.filter((request) => !answered.has(request))).toEqual([]);
    expect(answers.of("503 SHUTTING_DOWN")).toBeGreaterThan(0);
    expect(answers.of(200) + answers.of("503 SHUTTING_DOWN")).toBe(answered.size);
    for (const [request, { status }] of answered) {
      const id = events.get(request) ?? "";
      expect([succeeded.has(id), settled.has(id)]).toEqual([status === 200, status === 200]);
    }
    expect(refused).toBe(32);
    expect(exitCode).toBe(0);
    expect(took).toBeLessThan(3_000);
  });
});

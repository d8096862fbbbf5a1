import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { redisMissing, redisServer } from "./redis-server.js";

const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));

const secret = "12345";
const ENV = { ...process.env, PORT: "0", TOLOKA_SECRET: secret, PROLIFIC_SECRET: secret };

type Child = ChildProcessByStdio<null, Readable, null>;
const children: Child[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Starts an example on a free port; resolves when it listens, or works. */
async function start(example: string, env: NodeJS.ProcessEnv = {}, program = "server.ts") {
  const child: Child = spawn(process.execPath, ["--import", "tsx", program], {
    cwd: `${EXAMPLES}/${example}`,
    env: { ...ENV, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface(child.stdout);
  const exit = once(child, "exit");
  // Its output is complete once it has ended.
  const close = once(lines, "close");
  const printed: string[] = [];
  const origin = await new Promise<string>((resolve, reject) => {
    lines.on("line", (line) => {
      const origin = /\bListening on (http:[^\s"]+)/.exec(line)?.[1] ?? /^Working$/.exec(line)?.[0];
      if (origin) resolve(origin);
      else printed.push(line);
    });
    lines.on("close", () => reject(new Error("It ended before it listened.")));
  });
  return { child, origin, printed, exited: Promise.all([exit, close]).then(([status]) => status) };
}

/** Begins a request; its body is the caller's to send. */
function begin(url: string, agent: http.Agent, delivery: SignedDelivery, headers: object = {}) {
  const length = Buffer.byteLength(delivery.body);
  return http.request(url, {
    method: "POST",
    agent,
    headers: { ...delivery.headers, "content-length": length, ...headers },
  });
}

async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  for await (const _chunk of response);
  return response;
}

const submitted = (assignment: string) =>
  signToloka({
    secret,
    events: [tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: assignment })],
  });

describe.for(["express", "fastify", "koa", "node", "fetch"])("examples/%s", (example) => {
  test("handles each event of both providers once, and answers its own JSON route", async () => {
    const { child, origin, printed, exited } = await start(example);
    const send = async (path: string, headers: Record<string, string>, body: string) => {
      const response = await fetch(`${origin}${path}`, { method: "POST", headers, body: Buffer.from(body) });
      return { status: response.status, reply: await response.json() };
    };
    const counts = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };
    const toloka = signToloka({
      secret,
      events: [tolokaEvent("POOL_CLOSED"), tolokaEvent("ASSIGNMENT_APPROVED")],
    });
    const sendToloka = () => send("/toloka-webhook", toloka.headers, toloka.body);
    expect(await sendToloka()).toEqual({ status: 200, reply: { ...counts, handled: 2 } });
    expect(await sendToloka()).toEqual({ status: 200, reply: { ...counts, duplicate: 2 } });

    const prolific = signProlific({ secret, event: prolificEvent("submission.status.change") });
    expect(await send("/prolific-webhook", prolific.headers, prolific.body)).toEqual({
      status: 200,
      reply: { ...counts, handled: 1 },
    });

    const json = { "content-type": "application/json" };
    expect(await send("/echo", json, '{"its": "own"}')).toEqual({
      status: 200,
      reply: { echo: { its: "own" } },
    });

    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(printed.sort()).toEqual([
      "ASSIGNMENT_APPROVED assignment-1",
      "POOL_CLOSED pool-1 MANUAL",
      "submission.status.change submission-1",
    ]);
  });

  test("answers on SIGTERM, under load, all that it accepted, and ends at once after that", async () => {
    const { child, origin, printed, exited } = await start(example);
    const url = `${origin}/toloka-webhook`;
    const answered: string[] = [];

    // Under way when the signal comes: the head and half of the body are there.
    const slow = new http.Agent({ keepAlive: true });
    const uploads = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const assignment = `slow-${index}`;
        const delivery = submitted(assignment);
        const request = begin(url, slow, delivery, { expect: "100-continue" });
        const answer = answerTo(request);
        request.flushHeaders();
        await once(request, "continue");
        const half = delivery.body.length >> 1;
        request.write(delivery.body.slice(0, half));
        return { assignment, answer, finish: () => request.end(delivery.body.slice(half)) };
      }),
    );

    // A connection on which nothing is ever asked.
    const silent = net.connect(Number(new URL(url).port), "127.0.0.1");
    await once(silent, "connect");
    const silenceEnded = once(silent.resume(), "close");

    // Senders that keep their connections, and send one delivery after another until they cannot.
    const busy = new http.Agent({ keepAlive: true, maxSockets: 20 });
    const refusals = new Set<unknown>();
    let kill = () => {
      kill = () => {};
      child.kill("SIGTERM");
    };
    const senders = Array.from({ length: 20 }, async (_, sender) => {
      for (let n = 0; ; n++) {
        const assignment = `fast-${sender}-${n}`;
        const delivery = submitted(assignment);
        const request = begin(url, busy, delivery);
        request.end(delivery.body);
        try {
          const { statusCode } = await answerTo(request);
          if (statusCode === 200) answered.push(assignment);
          else refusals.add(statusCode);
        } catch (error) {
          // Nobody accepts it any more.
          if (error instanceof Error && "code" in error) refusals.add(error.code);
          return;
        }
        if (answered.length > 200) kill();
      }
    });
    await Promise.all(senders);
    for (const refusal of refusals) expect(["ECONNREFUSED", "ECONNRESET", 503]).toContain(refusal);
    expect(child.exitCode).toBeNull();

    for (const { finish } of uploads) finish();
    for (const { assignment, answer } of uploads) {
      const { statusCode, headers } = await answer;
      expect({ statusCode, connection: headers.connection }).toEqual({
        statusCode: 200,
        connection: "close",
      });
      answered.push(assignment);
    }
    const finished = performance.now();
    expect(await exited).toEqual([0, null]);
    // Node keeps an idle connection for five seconds.
    expect(performance.now() - finished).toBeLessThan(4_000);
    await silenceEnded;
    slow.destroy();
    busy.destroy();
    // Every event that a listener got was answered with 200, and every answered event reached a listener.
    expect(printed.sort()).toEqual(answered.map((assignment) => `ASSIGNMENT_SUBMITTED ${assignment}`).sort());
  });

  test.for(["TOLOKA_SECRET", "PROLIFIC_SECRET"])(
    "does not start without %s, and says so",
    async (missing) => {
      const run = promisify(execFile)(process.execPath, ["--import", "tsx", "server.ts"], {
        cwd: `${EXAMPLES}/${example}`,
        env: { ...ENV, [missing]: undefined },
      });
      const failure = await run.catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 1, stderr: expect.stringContaining("secret is undefined") });
    },
  );
});

describe("what is observed", () => {
  /** Handled, a duplicate, forged, failing because its data does not fit, and of a type that is new. */
  async function sendFive(origin: string) {
    const handled = signToloka({
      secret,
      events: [tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid: "handled", assignment_id: "payload-1" })],
    });
    const failing = signToloka({
      secret,
      events: [tolokaEvent("POOL_CLOSED", { uuid: "failing", pool_id: "payload-2", close_reason: 5 })],
    });
    const unknown = signToloka({
      secret,
      events: [tolokaEvent("TEST_EVENT", { uuid: "new", type: "POOL_REOPENED", pool_id: "payload-3" })],
    });
    const forged = { ...handled, body: handled.body.replace("payload-1", "payload-4") };
    const statuses: number[] = [];
    for (const { headers, body } of [handled, handled, forged, failing, unknown]) {
      const response = await fetch(`${origin}/toloka-webhook`, { method: "POST", headers, body });
      statuses.push(response.status);
    }
    expect(statuses).toEqual([200, 200, 401, 500, 200]);
  }

  test("examples/pino: a JSON line for each delivery, with no secret and no payload", async () => {
    const { child, origin, printed, exited } = await start("pino");
    await sendFive(origin);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);

    const lines = printed.map((line) => JSON.parse(line));
    const told = lines.map(({ level, msg, code, event, events }) => ({ level, msg, code, event, events }));
    const [info, warn, error] = [30, 40, 50];
    const submitted = { id: "handled", type: "ASSIGNMENT_SUBMITTED" };
    const closed = { id: "failing", type: "POOL_CLOSED" };
    const reopened = { id: "new", type: "POOL_REOPENED" };
    expect(told).toEqual([
      { level: info, msg: "an assignment", event: submitted },
      { level: info, msg: "delivery", events: [{ ...submitted, outcome: "handled" }] },
      { level: info, msg: "delivery", events: [{ ...submitted, outcome: "duplicate" }] },
      { level: warn, msg: "delivery", code: "SIGNATURE_MISMATCH", events: [] },
      { level: error, msg: "event failed", event: closed },
      { level: error, msg: "delivery", code: "EVENT_FAILED", events: [{ ...closed, outcome: "failed" }] },
      { level: info, msg: "delivery", events: [{ ...reopened, outcome: "ignored" }] },
    ]);
    expect(lines[3]).toMatchObject({ status: 401, reason: expect.stringContaining("fits no secret") });
    expect(lines[4].err.message).toContain("close_reason: expected string");
    const all = printed.join("\n");
    expect(all).not.toContain("payload-");
    expect(all).not.toContain(secret);
  });

  test("examples/prometheus: counts and durations, by labels of which there are few", async () => {
    const { child, origin, exited } = await start("prometheus");
    await sendFive(origin);
    const response = await fetch(`${origin}/metrics`);
    expect(response.status).toBe(200);
    const metrics = await response.text();
    const samples = metrics.split("\n").filter((line) => /^crowdhook_(?!.*_(bucket|sum)\b)/.test(line));
    expect(samples.sort()).toEqual([
      'crowdhook_deliveries_total{provider="toloka",code="EVENT_FAILED"} 1',
      'crowdhook_deliveries_total{provider="toloka",code="OK"} 3',
      'crowdhook_deliveries_total{provider="toloka",code="SIGNATURE_MISMATCH"} 1',
      'crowdhook_delivery_duration_seconds_count{provider="toloka"} 5',
      'crowdhook_events_total{provider="toloka",type="ASSIGNMENT_SUBMITTED",outcome="duplicate"} 1',
      'crowdhook_events_total{provider="toloka",type="ASSIGNMENT_SUBMITTED",outcome="handled"} 1',
      'crowdhook_events_total{provider="toloka",type="POOL_CLOSED",outcome="failed"} 1',
      'crowdhook_events_total{provider="toloka",type="other",outcome="ignored"} 1',
    ]);
    const sum = /^crowdhook_delivery_duration_seconds_sum\{provider="toloka"\} (\S+)$/m.exec(metrics)?.[1];
    expect(Number(sum)).toBeGreaterThan(0);
    // In milliseconds it would be more.
    expect(Number(sum)).toBeLessThan(5);
    expect(metrics).not.toMatch(/payload-|POOL_REOPENED/);
    expect(metrics).not.toContain(secret);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

interface Store {
  readonly env: NodeJS.ProcessEnv;
  close(): unknown;
}

const DURABLE: {
  name: string;
  example: string;
  missing: string | undefined;
  open(): Promise<Store>;
  /** What works, if not the server itself. */
  worker?: string;
}[] = [
  {
    name: "pg-boss without a DATABASE_URL",
    example: "pg-boss",
    missing: undefined,
    async open() {
      const directory = mkdtempSync(join(tmpdir(), "crowdhook-example-"));
      return {
        env: { DATABASE_URL: undefined, DATA_DIR: directory },
        close: () => rmSync(directory, { recursive: true }),
      };
    },
  },
  {
    name: "pg-boss",
    example: "pg-boss",
    missing: postgresMissing("own"),
    async open() {
      const server = await postgresServer("own");
      return { env: { DATABASE_URL: server.url }, close: () => server.close() };
    },
    worker: "worker.ts",
  },
  {
    name: "bullmq",
    example: "bullmq",
    missing: redisMissing("own"),
    async open() {
      const server = await redisServer("own");
      return { env: { REDIS_URL: server.url }, close: () => server.close() };
    },
    worker: "worker.ts",
  },
];

describe.each(DURABLE)("examples/$name", ({ example, missing, open, worker }) => {
  test.skipIf(missing)(
    `${missing ?? ""} what is delivered to the server the worker prints, and both end on SIGTERM with nothing lost`,
    { timeout: 240_000 },
    async () => {
      const { env, close } = await open();
      const agent = new http.Agent({ keepAlive: true });
      const deliver = async (origin: string, assignment: string) => {
        const delivery = submitted(assignment);
        const request = begin(`${origin}/toloka-webhook`, agent, delivery);
        request.end(delivery.body);
        return (await answerTo(request)).statusCode;
      };
      const server = await start(example, env);
      const first = worker === undefined ? server : await start(example, env, worker);
      expect(await deliver(server.origin, "first")).toBe(200);
      await vi.waitFor(() => expect(first.printed).toEqual(["ASSIGNMENT_SUBMITTED first"]), 60_000);

      // While deliveries come in.
      const answered = ["first"];
      const senders = Array.from({ length: 5 }, async (_, sender) => {
        for (let n = 0; ; n++) {
          const assignment = `${sender}-${n}`;
          try {
            if ((await deliver(server.origin, assignment)) === 200) answered.push(assignment);
          } catch {
            return; // Nobody accepts it any more.
          }
          if (answered.length === 50) {
            first.child.kill("SIGTERM");
            server.child.kill("SIGTERM");
          }
        }
      });
      await Promise.all(senders);
      expect(await Promise.all([first.exited, server.exited])).toEqual([
        [0, null],
        [0, null],
      ]);

      // What was left is worked off by the next one.
      const next = await start(example, env, worker);
      const expected = answered.map((assignment) => `ASSIGNMENT_SUBMITTED ${assignment}`).sort();
      await vi.waitFor(() => expect([...first.printed, ...next.printed].sort()).toEqual(expected), 60_000);
      next.child.kill("SIGTERM");
      expect(await next.exited).toEqual([0, null]);
      agent.destroy();
      await close();
    },
  );
});

test("the demo goes as its table says, and fits a terminal", async () => {
  const demo = await promisify(execFile)(process.execPath, ["--import", "tsx", "demo.ts"], {
    cwd: `${EXAMPLES}/demo`,
  });
  expect(demo.stdout).toContain("All 12 deliveries were answered and handled as expected.");
  expect(demo.stderr).toBe("");
  for (const line of demo.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(101);
});

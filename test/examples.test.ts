import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
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
import { afterEach, describe, expect, test } from "vitest";

const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));

interface Vector {
  readonly name: string;
  readonly secret: string;
  readonly header: string;
  readonly body: string;
}
const vectors: { valid: Vector[] } = JSON.parse(
  readFileSync(new URL("vectors/toloka.json", import.meta.url), "utf8"),
);
const documented = vectors.valid.find(({ name }) => name === "documentation-example");

type Child = ChildProcessByStdio<null, Readable, null>;
const children: Child[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Starts an example on a free port; resolves when it listens. */
async function start(example: string) {
  const child: Child = spawn(process.execPath, ["--import", "tsx", "server.ts"], {
    cwd: `${EXAMPLES}/${example}`,
    env: {
      ...process.env,
      PORT: "0",
      TOLOKA_SECRET: documented?.secret,
      PROLIFIC_SECRET: documented?.secret,
      TOLERANCE: "1e9",
    },
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
      const origin = /^Listening on (http:\S+)$/.exec(line)?.[1];
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
    secret: documented?.secret ?? "",
    events: [tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: assignment })],
  });

describe.for(["express", "fastify", "koa", "node", "fetch"])("examples/%s", (example) => {
  test("handles the documented example once, beside Prolific's and a JSON route of its own", async () => {
    const { child, origin, printed, exited } = await start(example);
    const send = async (path: string, headers: Record<string, string>, body: string) => {
      const response = await fetch(`${origin}${path}`, { method: "POST", headers, body: Buffer.from(body) });
      return { status: response.status, reply: await response.json() };
    };
    const counts = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };
    const { header = "", body = "", secret = "" } = documented ?? {};
    const json = { "content-type": "application/json" };
    const sendDocumented = () => send("/toloka-webhook", { ...json, "toloka-signature": header }, body);
    expect(await sendDocumented()).toEqual({ status: 200, reply: { ...counts, handled: 1 } });
    expect(await sendDocumented()).toEqual({ status: 200, reply: { ...counts, duplicate: 1 } });

    const prolific = signProlific({ secret, event: prolificEvent("submission.status.change") });
    expect(await send("/prolific-webhook", prolific.headers, prolific.body)).toEqual({
      status: 200,
      reply: { ...counts, handled: 1 },
    });

    expect(await send("/echo", json, '{"its": "own"}')).toEqual({
      status: 200,
      reply: { echo: { its: "own" } },
    });

    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(printed).toEqual(["ASSIGNMENT_APPROVED assignment-1", "submission.status.change submission-1"]);
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
    // What a listener heard was answered with 200, and the other way round.
    expect(printed.sort()).toEqual(answered.map((assignment) => `ASSIGNMENT_SUBMITTED ${assignment}`).sort());
  });

  test("does not start without a secret, and says so", async () => {
    const run = promisify(execFile)(process.execPath, ["--import", "tsx", "server.ts"], {
      cwd: `${EXAMPLES}/${example}`,
      env: { ...process.env, PORT: "0", TOLOKA_SECRET: undefined },
    });
    const failure = await run.catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 1, stderr: expect.stringContaining("The secret is undefined") });
  });
});

test("the demo goes as its table says, and fits a terminal", async () => {
  const demo = await promisify(execFile)(process.execPath, ["--import", "tsx", "demo.ts"], {
    cwd: `${EXAMPLES}/demo`,
  });
  expect(demo.stdout).toContain("All 18 deliveries were answered and heard as expected.");
  expect(demo.stderr).toBe("");
  for (const line of demo.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(101);
});

/**
 * Sends mixed traffic to a server for a long time: `pnpm soak [minutes] [--rate requests a second]`. Default:
 * 60 minutes, 60 requests a second.
 *
 * Fails if an event is not handled exactly once, if a reply is not the expected one, if anything is left open
 * at the end, or if memory grows. Writes its samples to a file in `reports/`, one line of JSON for each.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { seededRandom } from "../test/seeded-random.js";
import { connect, headOf } from "../test/wire.js";
import type { Ask, Heard, Report, SoakOptions } from "./soak-server.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { rate: { type: "string", default: "60" }, seed: { type: "string", default: "1" } },
});
const MINUTES = Number(positionals[0] ?? 60);
const RATE = Number(values.rate);
if (!(MINUTES > 0 && RATE > 0))
  throw new Error("pnpm soak [minutes] [--rate requests a second] [--seed number]");

const SAMPLE_MS = 5_000;
/** A message that has not arrived after this long is lost. */
const PATIENCE_MS = 60_000;
/** The largest accepted growth of the heap, in bytes per hour. */
const GROWTH = 1_000_000;
const SERVER: SoakOptions = {
  secret: "5f0c7e1b-93a4-4bd1-8f6e-2d7a90c3b6e5",
  maxBodySize: 256 * 1024,
  // Several seconds of events, so that no claim is forgotten before its redelivery. The memory is filled
  // before the first sample, so that claims explain no growth.
  max: 5_000,
  requestTimeout: 10_000,
};
const SECRET = SERVER.secret;

const random = seededRandom(Number(values.seed));
const below = (count: number) => Math.floor(random() * count);
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T;

// Violations: one is enough to fail the run.

const violations: string[] = [];
function violated(what: string): void {
  violations.push(what);
  if (violations.length <= 20) console.error(`Violated: ${what}`);
}

// The server, and the events that its listeners have handled.

const child: ChildProcess = spawn(
  process.execPath,
  ["--expose-gc", "--import", "tsx", "soak-server.ts", JSON.stringify(SERVER)],
  // stderr is ignored, because the server logs each refusal.
  { cwd: import.meta.dirname, stdio: ["ignore", "inherit", "ignore", "ipc"] },
);
const ended = once(child, "exit").then(([code]) => {
  throw new Error(`The server has ended with ${code}.`);
});
// The server does end when the run is over.
ended.catch(() => {});
async function told<Answer>(): Promise<Answer> {
  const silent = delay(PATIENCE_MS, undefined, { ref: false }).then(() => {
    throw new Error("The server says nothing any more.");
  });
  const [message] = await Promise.race([once(child, "message"), ended, silent]);
  return message;
}
const port = await told<number>();

async function ask(question: Ask): Promise<Report> {
  // A listener handles an event before its reply, so the report contains every event that was answered.
  const settled = [...answered, ...hungUp];
  hungUp = left;
  answered = [];
  left = [];
  child.send(question);
  const report = await told<Report>();
  check(report.heard, settled);
  return report;
}

/** Events that were sent, each with the number of times that its listener fails first. */
const due = new Map<string, { readonly fails: number; failed: number; handled: number }>();
/** Events that got a 200 since the last report. */
let answered: string[] = [];
/**
 * Events whose sender hung up after the last byte: `left` since the last report, `hungUp` since the one before.
 */
let left: string[] = [];
let hungUp: string[] = [];
let events = 0;

function check(heard: readonly Heard[], settled: readonly string[]): void {
  for (const [id, failed] of heard) {
    const event = due.get(id);
    if (event === undefined) violated(`${id} was heard, and should not have been, or not again`);
    else if (failed) event.failed++;
    else event.handled++;
  }
  for (const id of settled) {
    const event = due.get(id);
    due.delete(id);
    if (event?.handled === 1 && event.failed === event.fails) events++;
    else violated(`${id}: ${JSON.stringify(event)}`);
  }
}

// The traffic.

const agent = new http.Agent({ keepAlive: true, maxSockets: 50, scheduling: "fifo" });

interface Outgoing extends Omit<SignedDelivery, "method"> {
  readonly path: string;
  readonly method?: string;
  readonly chunked?: boolean;
}

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly handled?: number;
  readonly duplicate?: number;
  readonly failed?: number;
}

function send({ path, method = "POST", headers, body, chunked = false }: Outgoing): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = chunked
      ? { "transfer-encoding": "chunked" }
      : { "content-length": Buffer.byteLength(body) };
    const request = http.request({
      port,
      host: "127.0.0.1",
      path,
      method,
      agent,
      headers: method === "GET" ? headers : { ...headers, ...length },
    });
    request.on("error", reject);
    request.on("response", async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      const { statusCode: status = 0, headers } = response;
      resolve({ status, ...(headers["content-type"] === "application/json" ? JSON.parse(text) : {}) });
    });
    request.end(method === "GET" ? undefined : body);
  });
}

/** A delivery that can be signed again, as a provider does for a redelivery. */
interface Genuine {
  readonly ids: readonly string[];
  readonly failing: readonly string[];
  sign(): Outgoing;
}

let made = 0;
const newId = () => `event-${made++}`;

function toloka(count: number, failing = 0): Genuine {
  const ids = Array.from({ length: count }, newId);
  const events = ids.map((uuid, i) =>
    tolokaEvent(oneOf(["ASSIGNMENT_SUBMITTED", "ASSIGNMENT_APPROVED", "ASSIGNMENT_REJECTED"] as const), {
      uuid,
      assignment_id: `assignment-${uuid}`,
      comment: "x".repeat(below(500)),
      fails: i < failing,
    }),
  );
  return {
    ids,
    failing: ids.slice(0, failing),
    sign: () => ({ path: "/toloka-webhook", ...signToloka({ secret: SECRET, events }) }),
  };
}

function prolific(fails = false): Genuine {
  const id = newId();
  const event = prolificEvent("submission.status.change", { resource_id: `submission-${id}`, fails });
  return {
    ids: [id],
    failing: fails ? [id] : [],
    sign: () => ({ path: "/prolific-webhook", ...signProlific({ secret: SECRET, id, event }) }),
  };
}

const genuine = (failing = false) =>
  random() < 0.65
    ? toloka(1 + Math.floor(50 * random() ** 2), failing ? 1 + below(2) : 0)
    : prolific(failing);

function expectReplies({ ids, failing }: Genuine): void {
  for (const id of ids) due.set(id, { fails: failing.includes(id) ? 1 : 0, failed: 0, handled: 0 });
}

/** Recent deliveries, whose claims are still remembered. */
const past: Genuine[] = [];
function settle(delivery: Genuine): void {
  answered.push(...delivery.ids);
  past.push(delivery);
  if (past.length > 40) past.shift();
}

function hasReply(kind: string, answer: object, expected: object): void {
  const part = Object.fromEntries(
    Object.keys(expected).map((key) => [key, (answer as Record<string, unknown>)[key]]),
  );
  if (JSON.stringify(part) !== JSON.stringify(expected))
    violated(`${kind}: ${JSON.stringify(answer)}, not ${JSON.stringify(expected)}`);
}

const signed = (body: string): Outgoing => ({
  path: "/toloka-webhook",
  ...signToloka({ secret: SECRET, body }),
});

/** Requests that are no deliveries, each with its expected reply. */
const MALFORMED: readonly (() => [Outgoing, object])[] = [
  () => [signed("{"), { status: 400, code: "BODY_NOT_JSON" }],
  () => [signed("[]"), { status: 400, code: "ENVELOPE_INVALID" }],
  () => [
    { ...signed("{}"), method: "GET" },
    { status: 405, code: "METHOD_NOT_ALLOWED" },
  ],
  () => [{ ...signed("{}"), path: "/elsewhere" }, { status: 404 }],
  () => [
    { ...signed("{}"), headers: {} },
    { status: 401, code: "SIGNATURE_MISSING" },
  ],
  () => [
    { ...signed("{}"), headers: { "toloka-signature": "sign" } },
    { status: 401, code: "SIGNATURE_MALFORMED" },
  ],
  () => [
    { ...signed("{}"), headers: { ...signed("{}").headers, "content-encoding": "gzip" } },
    { status: 415, code: "ENCODING_UNSUPPORTED" },
  ],
  () => [
    { path: "/toloka-webhook", ...signToloka({ secret: SECRET, timestamp: Date.now() - 600_000 }) },
    { status: 401, code: "TIMESTAMP_OUT_OF_TOLERANCE" },
  ],
];

/** The kinds of requests, each with its share of the traffic in percent. */
const KINDS: Readonly<Record<string, { readonly share: number; run(kind: string): Promise<void> }>> = {
  good: {
    share: 50,
    async run(kind) {
      const delivery = genuine();
      expectReplies(delivery);
      const { length } = delivery.ids;
      hasReply(kind, await send(delivery.sign()), { status: 200, handled: length, duplicate: 0, failed: 0 });
      settle(delivery);
    },
  },
  duplicate: {
    share: 8,
    async run(kind) {
      if (past.length === 0) return;
      const delivery = oneOf(past);
      const { length } = delivery.ids;
      hasReply(kind, await send(delivery.sign()), { status: 200, handled: 0, duplicate: length });
    },
  },
  "twice at once": {
    share: 4,
    async run(kind) {
      const delivery = genuine();
      expectReplies(delivery);
      const request = delivery.sign();
      const answers = await Promise.all([send(request), send(request)]);
      for (const answer of answers) hasReply(kind, answer, { status: 200, failed: 0 });
      const handled = answers.reduce((sum, answer) => sum + (answer.handled ?? 0), 0);
      if (handled !== delivery.ids.length) violated(`${kind}: ${JSON.stringify(answers)}`);
      settle(delivery);
    },
  },
  redelivered: {
    share: 8,
    async run(kind) {
      const delivery = genuine(true);
      expectReplies(delivery);
      const failed = delivery.failing.length;
      const handled = delivery.ids.length - failed;
      hasReply(kind, await send(delivery.sign()), { status: 500, code: "EVENT_FAILED", handled, failed });
      await delay(below(1_000));
      hasReply(kind, await send(delivery.sign()), { status: 200, handled: failed, duplicate: handled });
      settle(delivery);
    },
  },
  forged: {
    share: 12,
    async run(kind) {
      const request = genuine().sign();
      const answer = await send({ ...request, body: `${request.body} ` });
      hasReply(kind, answer, { status: 401, code: "SIGNATURE_MISMATCH" });
    },
  },
  malformed: {
    share: 8,
    async run(kind) {
      const [request, expected] = oneOf(MALFORMED)();
      hasReply(kind, await send(request), expected);
    },
  },
  oversized: {
    share: 3,
    async run(kind) {
      const body = "x".repeat(SERVER.maxBodySize + 1 + below(SERVER.maxBodySize));
      const request = { path: "/toloka-webhook", headers: {}, body, chunked: random() < 0.5 };
      hasReply(kind, await send(request), { status: 413, code: "BODY_TOO_LARGE" });
    },
  },
  aborted: {
    share: 4,
    async run() {
      const { headers, body } = toloka(5).sign();
      const { socket, rest } = await connect(port);
      const text = headOf({ ...headers, "content-length": `${body.length}` }) + body;
      socket.write(text.slice(0, below(text.length)), () => {
        if (random() < 0.5) socket.destroy();
        else socket.resetAndDestroy();
      });
      await rest;
    },
  },
  "hung up": {
    share: 1,
    async run() {
      const delivery = toloka(5);
      expectReplies(delivery);
      const { headers, body } = delivery.sign();
      const { socket, rest } = await connect(port);
      socket.write(headOf({ ...headers, "content-length": `${body.length}` }) + body, () => socket.destroy());
      await rest;
      left.push(...delivery.ids);
    },
  },
  slow: {
    share: 1,
    async run(kind) {
      const delivery = toloka(5);
      expectReplies(delivery);
      const { headers, body } = delivery.sign();
      const { write, replies, socket } = await connect(port);
      write(headOf({ ...headers, "content-length": `${body.length}` }));
      const pieces = 10;
      for (let i = 0; i < pieces; i++) {
        await delay(300);
        write(body.slice((i * body.length) / pieces, ((i + 1) * body.length) / pieces));
      }
      const [answer] = await replies(1);
      hasReply(kind, answer ?? {}, { status: 200 });
      socket.destroy();
      settle(delivery);
    },
  },
  "too slow": {
    share: 1,
    async run(kind) {
      const { headers, body } = toloka(1).sign();
      const { socket, write, rest } = await connect(port);
      write(headOf({ ...headers, "content-length": `${body.length}` }));
      const drip = setInterval(() => write("{"), 1_000);
      socket.on("close", () => clearInterval(drip));
      const answer = await rest;
      if (!answer.startsWith("HTTP/1.1 408 ")) violated(`${kind}: ${answer}`);
    },
  },
};

const shares = Object.entries(KINDS).flatMap(([kind, { share }]) =>
  Array.from({ length: share }, () => kind),
);
const sent = new Map<string, number>();
const underWay = new Set<Promise<void>>();

function begin(kind: string): Promise<void> {
  sent.set(kind, (sent.get(kind) ?? 0) + 1);
  const run = (KINDS[kind] as (typeof KINDS)[string])
    .run(kind)
    .catch((error) => violated(`${kind}: ${error}`))
    .finally(() => underWay.delete(run));
  underWay.add(run);
  return run;
}

// The run.

const first = await ask("report");
for (let filled = 0; filled < 2.5 * SERVER.max; filled += 200) {
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const delivery = toloka(50);
      expectReplies(delivery);
      hasReply("filling", await send(delivery.sign()), { status: 200, handled: 50 });
      settle(delivery);
    }),
  );
}

const folder = path.join(import.meta.dirname, "../reports");
mkdirSync(folder, { recursive: true });
const begun = Date.now();
const file = path.join(folder, `soak-${new Date(begun).toISOString().replaceAll(":", "")}.jsonl`);
const lines = createWriteStream(file);

type Sample = Omit<Report, "heard"> & {
  readonly seconds: number;
  readonly heard: number;
  readonly sender: number;
};
const samples: Sample[] = [];
async function sample(): Promise<void> {
  const { heard, ...report } = await ask("report");
  const taken = {
    seconds: (Date.now() - begun) / 1000,
    ...report,
    heard: heard.length,
    sender: process.memoryUsage.rss(),
  };
  samples.push(taken);
  const counts = { sent: Object.fromEntries(sent), underWay: underWay.size, violations: violations.length };
  lines.write(`${JSON.stringify({ ...taken, ...counts })}\n`);
}

console.log(`${MINUTES} minutes, ${RATE} requests a second. Samples: ${path.relative(process.cwd(), file)}`);
await sample();
let requests = 0;
for (let over = false; !over; ) {
  await delay(begun + (requests * 1000) / RATE - Date.now());
  void begin(oneOf(shares));
  requests++;
  const now = Date.now();
  if (now > begun + samples.length * SAMPLE_MS) await sample();
  over = now > begun + MINUTES * 60_000;
}
await Promise.race([Promise.all(underWay), delay(PATIENCE_MS, undefined, { ref: false })]);
if (underWay.size > 0) violated(`${underWay.size} requests have no answer`);
await sample();
agent.destroy();
// An event whose sender hung up is checked with the report after the next.
await sample();
await sample();
const last = await ask("close");

// The verdict.

/** Returns a figure's growth per hour: the slope of its regression line, and the slope's standard error. */
function trend(samples: readonly Sample[], figure: "heap" | "rss"): { slope: number; error: number } {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const hours = samples.map(({ seconds }) => seconds / 3600);
  const values = samples.map((sample) => sample[figure]);
  const [at, middle] = [mean(hours), mean(values)];
  const spread = hours.reduce((sum, hour) => sum + (hour - at) ** 2, 0);
  const slope = hours.reduce((sum, hour, i) => sum + (hour - at) * ((values[i] ?? 0) - middle), 0) / spread;
  const off = hours.reduce((sum, hour, i) => sum + ((values[i] ?? 0) - middle - slope * (hour - at)) ** 2, 0);
  return { slope, error: Math.sqrt(off / (hours.length - 2) / spread) };
}

const timed = samples.filter(({ seconds }) => seconds <= MINUTES * 60 + 1);
const half = timed.filter(({ seconds }) => seconds >= MINUTES * 30);
const heap = trend(half, "heap");
if (heap.slope - 2 * heap.error > GROWTH) violated(`the heap grows by ${mb(heap.slope)} an hour`);
const leftOver = Object.entries(last.resources).filter(
  ([name, count]) => count > (first.resources[name] ?? 0),
);
if (leftOver.length > 0 || last.sockets > 0) violated(`left over: ${JSON.stringify(last.resources)}`);
for (const trouble of last.troubles) violated(trouble);
if (due.size > 0) violated(`${due.size} events have no end`);

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

const ROWS: readonly [string, (sample: Sample) => number, (figure: number) => string][] = [
  ["heap after gc", ({ heap }) => heap, mb],
  ["external", ({ external }) => external, mb],
  ["RSS", ({ rss }) => rss, mb],
  ["sockets", ({ sockets }) => sockets, String],
  ["handles", ({ resources }) => Object.values(resources).reduce((sum, count) => sum + count, 0), String],
  ["loop delay, p99", ({ lag }) => lag, (ms) => `${ms.toFixed(1)} ms`],
  ["CPU of the server", ({ cpu }) => cpu / SAMPLE_MS, (share) => `${(share * 100).toFixed(0)} %`],
  ["RSS of the sender", ({ sender }) => sender, mb],
];
const cells = (...texts: string[]) =>
  texts.map((text, i) => (i === 0 ? text.padEnd(20) : text.padStart(12))).join("");
console.log(cells("", "at first", "half-way", "at last", "least", "most"));
for (const [name, figure, write] of ROWS) {
  const figures = timed.slice(1).map(figure);
  const at = [0, figures.length >> 1, figures.length - 1].map((i) => figures[i] ?? Number.NaN);
  console.log(cells(name, ...[...at, Math.min(...figures), Math.max(...figures)].map(write)));
}
console.log(
  `\nThe heap grew by ${mb(heap.slope)} an hour (± ${mb(2 * heap.error)}) in the second half; at most ${mb(GROWTH)} is to be.`,
);
if (2 * heap.error > GROWTH) console.log("That is too short a time to tell so little from none.");
console.log([...sent].map(([kind, count]) => `${count} ${kind}`).join(", "));
console.log(`${requests} requests, ${events} events heard as they should be.`);
console.log(violations.length === 0 ? "Nothing was violated." : `${violations.length} violations.`);
child.kill();
lines.end(() => process.exit(violations.length === 0 ? 0 : 1));

/**
 * What a delivery costs from bytes to reply, without a network: as a ratio to what no receiver can do
 * without, and beside others' receivers. Run it by `pnpm bench in-process`; `--quick` for fewer rounds.
 */
import { createHmac, createSecretKey, hash, randomUUID, timingSafeEqual } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { createReceiver, type Provider, type Receiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import { Webhooks } from "@octokit/webhooks";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import { gc } from "./garbage.js";
import { message, start } from "./processes.js";
import { SECRET } from "./requests.js";
import { record, versions } from "./results.js";
import { interleave, median, ratios } from "./rounds.js";
import { microseconds, range } from "./units.js";

const QUICK = process.argv.includes("--quick");
const SIZES = QUICK ? [1, 100] : [1, 10, 100, 1000];
/** Code is optimised a little differently in every process, and stays as it came out. */
const PROCESSES = QUICK ? 3 : 4;
/** Tells a process to measure, and to send what it measured. */
const MEASURE = "--measure";
const ROUNDS = QUICK ? 8 : 12;
const WARM_UP = 4;
/** For how long the limit runs in a slice; the others take as much longer as they are slower. */
const SLICE_MS = 10;
/** More than the claims in memory remember, so that they are as full as they get. */
const FILLING = 120_000;

const KEY = createSecretKey(Buffer.from(SECRET));
const STANDARD_SECRET = `whsec_${Buffer.from(SECRET).toString("base64")}`;

/** The same bytes, signed as each side wants them. */
interface Signed {
  readonly body: Buffer;
  readonly toloka: {
    method: string;
    headers: Record<string, string>;
    body: Buffer;
    ts: string;
    sign: string;
  };
  readonly octokit: { id: string; signature: string };
  readonly standard: Record<string, string>;
  readonly svix: Record<string, string>;
  readonly stripe: string;
}

/** As it comes from a socket: in one piece, not as the parts it was put together from. */
const flat = (text: string) => Buffer.from(text).toString();

function signed(events: number): Signed {
  const delivery = signToloka({
    secret: SECRET,
    events: Array.from({ length: events }, () => tolokaEvent("ASSIGNMENT_SUBMITTED")),
  });
  const body = Buffer.from(delivery.body);
  const header = flat(delivery.headers["toloka-signature"] ?? "");
  const [, ts = "", sign = ""] = /ts=(\d+), sign=(\w+)/.exec(header) ?? [];
  const hmac = (prefix: string) => createHmac("sha256", KEY).update(prefix).update(body);
  const id = randomUUID();
  const seconds = String(Math.floor(Date.now() / 1000));
  const standard = flat(`v1,${hmac(`${id}.${seconds}.`).digest("base64")}`);
  return {
    body,
    toloka: {
      method: "POST",
      headers: { "content-type": "application/json", "toloka-signature": header },
      body,
      ts: flat(ts),
      sign: flat(sign),
    },
    octokit: { id, signature: flat(`sha256=${hmac("").digest("hex")}`) },
    standard: { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": standard },
    svix: { "svix-id": id, "svix-timestamp": seconds, "svix-signature": standard },
    stripe: flat(`t=${seconds},v1=${hmac(`${seconds}.`).digest("hex")}`),
  };
}

interface Side {
  readonly name: string;
  readonly does: string;
  /** The share of a round's deliveries it is given. Less than all for sides that are slow. */
  readonly share?: number;
  /** Each has a loop of its own, and those that are synchronous await nothing. */
  run(deliveries: readonly Signed[]): void | Promise<void>;
}

/** The events that came out of each side. */
const events = new Map<Side, number>();
const count = (side: Side, more: number) => events.set(side, (events.get(side) ?? 0) + more);

/** The HMAC of a delivery, in hex. */
type Hmac = (ts: string, body: Buffer) => string;

const hmacObject: Hmac = (ts, body) =>
  createHmac("sha256", KEY).update(`${ts}.1.`).update(body).digest("hex");

// The key as either hash begins with it, padded to a block. Source: RFC 2104, section 2.
const padded = (byte: number) => Buffer.alloc(64).map((_, i) => (KEY.export()[i] ?? 0) ^ byte);
const inner = Buffer.concat([padded(0x36), Buffer.alloc(1024 * 1024)]);
const outer = Buffer.concat([padded(0x5c), Buffer.alloc(32)]);

const twoHashes: Hmac = (ts, body) => {
  const start = 64 + inner.write(`${ts}.1.`, 64, "latin1");
  inner.set(body, start);
  outer.write(hash("sha256", inner.subarray(0, start + body.length), "binary"), 64, "latin1");
  return hash("sha256", outer, "hex");
};

function limit(name: string, does: string, hmac: Hmac): Side {
  const received = Buffer.alloc(64);
  const expected = Buffer.alloc(64);
  const side: Side = {
    name,
    does,
    run(deliveries) {
      let parsed = 0;
      for (const { body, toloka } of deliveries) {
        expected.write(hmac(toloka.ts, body), "latin1");
        received.write(toloka.sign, "latin1");
        if (!timingSafeEqual(expected, received)) throw new Error(`${name} does not verify.`);
        parsed += JSON.parse(body.toString()).events.length;
      }
      count(side, parsed);
    },
  };
  return side;
}

function handle(name: string, does: string, receiver: Receiver<TolokaEvents>): Side {
  receiver.on("ASSIGNMENT_SUBMITTED", async () => {
    heard++;
  });
  let heard = 0;
  const side: Side = {
    name,
    does,
    async run(deliveries) {
      heard = 0;
      for (const { toloka } of deliveries) {
        const reply = await receiver.handle(toloka);
        if (reply.status !== 200) throw new Error(`${name} answered ${reply.status}: ${reply.body}`);
      }
      count(side, heard);
    },
  };
  return side;
}

function octokit(): Side {
  const webhooks = new Webhooks({ secret: SECRET });
  let heard = 0;
  webhooks.on("push", async ({ payload }) => {
    heard += (payload as unknown as { events: unknown[] }).events.length;
  });
  const side: Side = {
    name: "@octokit/webhooks: verifyAndReceive",
    does: "verify, parse, one listener for all events",
    async run(deliveries) {
      heard = 0;
      for (const { body, octokit } of deliveries) {
        await webhooks.verifyAndReceive({ ...octokit, name: "push", payload: body.toString() });
      }
      count(side, heard);
    },
  };
  return side;
}

/** A receiver that is a function: it throws, or returns what it parsed. */
function verifier(name: string, does: string, share: number, verify: (delivery: Signed) => unknown): Side {
  const side: Side = {
    name,
    does,
    share,
    run(deliveries) {
      let parsed = 0;
      for (const delivery of deliveries) parsed += (verify(delivery) as { events: unknown[] }).events.length;
      count(side, parsed);
    },
  };
  return side;
}

const standard = new StandardWebhook(STANDARD_SECRET);
const svix = new SvixWebhook(STANDARD_SECRET);
const stripe = new Stripe("sk_test");
/** Toloka's, but that no event has an id: there is nothing to claim it by, and so no claims. */
const withoutIds: Provider<TolokaEvents> = {
  ...toloka,
  parseEvents(body, headers, receivedAt) {
    const events = toloka.parseEvents(body, headers, receivedAt);
    for (const event of events ?? []) (event as { id: string }).id = "";
    return events;
  },
};
const whole = createReceiver(toloka, { secret: SECRET });

const LIMIT = limit("**the limit**", "HMAC, compare, JSON.parse", hmacObject);
const AGAIN = limit("the limit, once more", "HMAC, compare, JSON.parse", hmacObject);
const HASHES = limit("the limit, by `crypto.hash`", "two hashes, compare, JSON.parse", twoHashes);
const BARE = handle(
  "**crowdhook**: handle(), claims off",
  "verify, time, parse, validate, a listener per event",
  createReceiver(withoutIds, { secret: SECRET }),
);
const WHOLE = handle(
  "**crowdhook**: handle(), claims in memory",
  "verify, time, parse, validate, claim, a listener per event, settle",
  whole,
);
const OCTOKIT = octokit();
const STRIPE = verifier("stripe: constructEvent", "verify, time, parse", 1, (delivery) =>
  stripe.webhooks.constructEvent(delivery.body, delivery.stripe, SECRET),
);
const STANDARD = verifier("standardwebhooks: verify", "verify, time, parse", 0.25, (delivery) =>
  standard.verify(delivery.body, delivery.standard),
);
const SVIX = verifier("svix: verify", "verify, time, parse", 0.25, (delivery) =>
  svix.verify(delivery.body, delivery.svix),
);
const SIDES = [LIMIT, AGAIN, HASHES, BARE, WHOLE, OCTOKIT, STRIPE, STANDARD, SVIX];

/** So many deliveries keep the limit busy for a slice. */
function sliceOf(size: number): number {
  const sample = Array.from({ length: Math.ceil(1000 / size) }, () => signed(size));
  for (let i = 0; i < 5; i++) LIMIT.run(sample);
  const begin = performance.now();
  LIMIT.run(sample);
  return Math.ceil(SLICE_MS / ((performance.now() - begin) / sample.length));
}

/** Nanoseconds of CPU time per delivery: what other programs take of the machine is not in it. */
async function time({ run }: Side, deliveries: readonly Signed[]): Promise<number> {
  // What waits for its turn, and the garbage of the side before, are no part of this one.
  await setImmediate();
  gc({ type: "minor" });
  const begin = process.cpuUsage();
  const running = run(deliveries);
  if (running) await running;
  const { user, system } = process.cpuUsage(begin);
  return ((user + system) * 1000) / deliveries.length;
}

/** By size, side and round. */
type Times = number[][][];

async function measure(): Promise<Times> {
  const slices = SIZES.map(sliceOf);
  for (let i = 0; i < FILLING; i += 100) {
    const { status } = await whole.handle(signed(100).toloka);
    if (status !== 200) throw new Error(`The filling was answered ${status}.`);
  }
  events.clear();
  const expected = new Map<Side, number>();
  /** Fresh for every round: an event that came before is a duplicate, and costs less. */
  let deliveries: Signed[][] = [];
  let prepared = -1;
  const results = await interleave(
    SIZES.flatMap((_, i) => SIDES.map((side) => ({ i, side }))),
    WARM_UP + ROUNDS,
    ({ i, side }, round) => {
      const size = SIZES[i] as number;
      if (prepared !== round) {
        deliveries = SIZES.map((size, i) => Array.from({ length: slices[i] as number }, () => signed(size)));
        prepared = round;
      }
      const all = deliveries[i] as Signed[];
      const given = all.slice(0, Math.ceil(all.length * (side.share ?? 1)));
      expected.set(side, (expected.get(side) ?? 0) + given.length * size);
      return time(side, given);
    },
  );
  for (const side of SIDES) {
    if (events.get(side) !== expected.get(side)) {
      throw new Error(`${side.name}: ${events.get(side)} of ${expected.get(side)} events came out.`);
    }
  }
  const took = [...results.values()].map((rounds) => rounds.slice(WARM_UP));
  return SIZES.map((_, i) => took.slice(i * SIDES.length, (i + 1) * SIDES.length));
}

function report(runs: readonly Times[]): void {
  const timesOf = (side: Side, size: number) =>
    runs.flatMap((times) => times[SIZES.indexOf(size)]?.[SIDES.indexOf(side)] ?? []);
  const ratio = (side: Side, to: Side, size: number) => ratios(timesOf(side, size), timesOf(to, size));
  const perEvent = (side: Side, size: number) => timesOf(side, size).map((time) => time / size);
  const steps = SIZES.slice(1).map((size, i) => [SIZES[i] as number, size] as const);
  /** What an event costs in larger deliveries, over what it costs in smaller ones. */
  const growth = (side: Side, from: number, to: number) => ratios(perEvent(side, to), perEvent(side, from));
  const inWords = (size: number) => (size === 1 ? "1 event" : `${size.toLocaleString("en")} events`);

  record("in-process", {
    title: "In process",
    method: `\
From the bytes to the reply, on one thread, without a network. **crowdhook** is this package; **the limit** is what no receiver can do without, as fast as \`node:crypto\` allows: a \`createHmac\` with a key that was prepared once, two updates, the hex digests compared by \`timingSafeEqual\` in buffers that are used again, and \`JSON.parse(body.toString())\`. It is given the parts of the signature's header, and checks no time. An HMAC can also be had from two calls of \`crypto.hash\`, which costs less for small bodies: that is how crowdhook does it where it can, and for comparison a side of its own. The others are ${versions("@octokit/webhooks", "stripe", "standardwebhooks", "svix")}; each gets the same bytes, signed its own way. None of them validates, and none claims. The claims in memory are as full as they get: 50,000 to 100,000 events.

Every side runs once a round, for about ${SLICE_MS} ms times its ratio, in rotating order, with new events in every round: ${ROUNDS} rounds in each of ${PROCESSES} processes, after ${WARM_UP} to warm up. What is measured is CPU time, that of collecting garbage included. A ratio is the median of the ratios within the rounds; the range in brackets holds the middle half of them. "The limit, once more" is the same code a second time: what it is away from 1.00 is noise.`,
    tables: [
      {
        caption: "Time per delivery, as a ratio to the limit",
        head: ["side", "does", ...SIZES.map(inWords)],
        rows: SIDES.map((side) => [
          side.name,
          side.does,
          ...SIZES.map((size) => range(ratio(side, LIMIT, size))),
        ]),
      },
      {
        caption: "Time per event",
        head: ["side", ...SIZES.map(inWords)],
        rows: SIDES.map((side) => [
          side.name,
          ...SIZES.map((size) => microseconds(median(perEvent(side, size)))),
        ]),
      },
      {
        caption: "Time of others for 1 event, as a ratio to crowdhook's",
        head: ["side", "to claims off", "to claims in memory"],
        rows: [OCTOKIT, STRIPE, STANDARD, SVIX].map((side) => [
          side.name,
          range(ratio(side, BARE, 1)),
          range(ratio(side, WHOLE, 1)),
        ]),
      },
      {
        caption: "Time per event, as a ratio to that in smaller deliveries",
        head: ["side", ...steps.map(([from, to]) => `${inWords(to)} to ${inWords(from)}`)],
        rows: [LIMIT, BARE, WHOLE].map((side) => [
          side.name,
          ...steps.map(([from, to]) => range(growth(side, from, to))),
        ]),
      },
    ],
    figures: {
      "whole-1": ratio(WHOLE, LIMIT, 1).median,
      "whole-100": ratio(WHOLE, LIMIT, 100).median,
      octokit: ratio(OCTOKIT, WHOLE, 1).median,
      stripe: ratio(STRIPE, WHOLE, 1).median,
      standardwebhooks: ratio(STANDARD, WHOLE, 1).median,
      svix: ratio(SVIX, WHOLE, 1).median,
    },
  });
}

if (process.argv.includes(MEASURE)) {
  process.send?.(await measure());
  process.disconnect();
} else {
  const runs: Times[] = [];
  for (let i = 0; i < PROCESSES; i++) {
    runs.push(await message(start("in-process", [...process.argv.slice(2), MEASURE])));
  }
  report(runs);
}

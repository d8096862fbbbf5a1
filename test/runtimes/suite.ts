import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { expect, vi } from "vitest";
import { type Answer, type Outgoing, request } from "../request.js";
import type { AppState } from "./apps/webhooks.js";

/** A check of an app that is known only by its origin. */
export interface Check {
  readonly provider: "Toloka" | "Prolific";
  readonly name: string;
  /** @param patience How long to wait for an effect, in milliseconds. */
  run(origin: string, patience?: number): Promise<void>;
}

interface Asked {
  /** Default: a new id. */
  readonly id?: string;
  readonly type?: string;
  /** Added to the event's data. */
  readonly fields?: object;
  readonly secret?: string;
  /** Unix time in milliseconds. Default: now. */
  readonly timestamp?: number;
  /** Signed and sent in place of the event. */
  readonly body?: Uint8Array;
}

type Signed = Outgoing & { readonly body: string };

interface Recorded {
  readonly name: string;
  /** Time of the signature: Unix time in milliseconds. */
  readonly timestamp: number;
  readonly delivery: Signed;
  readonly events: readonly AppState["received"][number][];
}

/** Makes deliveries of one provider. */
interface Sender {
  readonly provider: Check["provider"];
  readonly path: string;
  readonly signed: (asked?: Asked) => Signed;
  readonly recorded: readonly Recorded[];
}

const vectors = (file: string) =>
  JSON.parse(readFileSync(new URL(`../vectors/${file}.json`, import.meta.url), "utf8")).valid;

/** Passes bytes off as text. The signers pass the body to `update`, which takes bytes as well. */
const asText = (body: Uint8Array | undefined) => (body ? { body: body as unknown as string } : {});

interface TolokaVector extends Record<"name" | "secret" | "body" | "header", string> {
  ts: number;
}
type TolokaData = Record<"uuid" | "type" | "event_time", string>;

const toloka: Sender = {
  provider: "Toloka",
  path: "/toloka-webhook",
  signed({ id = randomUUID(), type = "POOL_CLOSED", fields, secret = "12345", timestamp, body } = {}) {
    const events = [{ ...tolokaEvent("POOL_CLOSED"), uuid: id, type, ...fields }];
    const at = timestamp === undefined ? {} : { timestamp };
    return { path: "/toloka-webhook", ...signToloka({ secret, events, ...at, ...asText(body) }) };
  },
  recorded: vectors("toloka").map(({ name, ts, header, body }: TolokaVector) => {
    const content: { events?: TolokaData[] } = JSON.parse(body);
    return {
      name,
      timestamp: ts,
      delivery: { path: "/toloka-webhook", headers: { "toloka-signature": header }, body },
      events: (content.events ?? [content as TolokaData]).map((data) => ({
        provider: "toloka",
        type: data.type,
        id: data.uuid,
        occurredAt: new Date(`${data.event_time}Z`).toISOString(),
        data,
      })),
    };
  }),
};

interface ProlificVector extends Record<"name" | "secret" | "body", string> {
  headers: Record<string, string>;
}

const prolific: Sender = {
  provider: "Prolific",
  path: "/prolific-webhook",
  signed({
    id = randomUUID(),
    type = "study.status.change",
    fields,
    secret = "prolific-secret",
    timestamp,
    body,
  } = {}) {
    // Prolific does not sign ids, so the nonce makes the signed body unique.
    const event = {
      ...prolificEvent("study.status.change"),
      event_type: type,
      nonce: randomUUID(),
      ...fields,
    };
    const at = timestamp === undefined ? {} : { timestamp };
    return { path: "/prolific-webhook", ...signProlific({ secret, id, event, ...at, ...asText(body) }) };
  },
  recorded: vectors("prolific").map(({ name, headers, body }: ProlificVector) => {
    const data = JSON.parse(body);
    return {
      name,
      timestamp: Number(headers["X-Prolific-Request-Timestamp"]) * 1000,
      delivery: { path: "/prolific-webhook", headers, body },
      events: [
        {
          provider: "prolific",
          type: data.event_type,
          id: headers["X-Event-ID"] ?? "",
          occurredAt: new Date(Number(headers["X-Timestamp"]) * 1000).toISOString(),
          data,
        },
      ],
    };
  }),
};

async function state(origin: string, asked: Record<string, string> = {}): Promise<AppState> {
  const { text } = await request(origin, { method: "GET", path: `/app?${new URLSearchParams(asked)}` });
  return JSON.parse(text);
}

async function received(origin: string, id: string): Promise<AppState["received"]> {
  return (await state(origin, { id })).received;
}

/** Returns the answer's status and content, without counts of 0. */
function outcome({ status, text }: Answer): Record<string, unknown> {
  const { message: _, ...content } = JSON.parse(text);
  return { status, ...Object.fromEntries(Object.entries(content).filter(([, value]) => value !== 0)) };
}

async function isAlive(origin: string, { signed }: Sender): Promise<void> {
  expect(outcome(await request(origin, signed()))).toEqual({ status: 200, handled: 1 });
}

/** Opens a connection and writes a delivery. With `length`, only that many characters of the body. */
function written(origin: string, delivery: Signed, length?: number): Promise<net.Socket> {
  const head = Object.entries({
    host: new URL(origin).host,
    "content-length": Buffer.byteLength(delivery.body),
    ...delivery.headers,
  });
  const lines = [`POST ${delivery.path} HTTP/1.1`, ...head.map(([name, value]) => `${name}: ${value}`)];
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(origin).port), "127.0.0.1");
    socket.on("error", reject);
    socket.write(`${lines.join("\r\n")}\r\n\r\n${delivery.body.slice(0, length)}`, () => resolve(socket));
  });
}

const eventually = (expectation: () => Promise<void>, timeout = 10_000) =>
  vi.waitFor(expectation, { timeout, interval: 20 });

/** Sends a delivery, and hangs up while its listener runs. */
async function hangUp(origin: string, delivery: Signed, id: string, how: "destroy" | "resetAndDestroy") {
  const socket = await written(origin, delivery);
  await eventually(async () => expect(await received(origin, id)).not.toEqual([]));
  socket[how]();
}

const TOO_LARGE = new Uint8Array(6 * 1024 * 1024);
const FOUR_MIB = 4 * 1024 * 1024;

const OF_EACH: readonly {
  readonly name: string;
  run(origin: string, sender: Sender, patience?: number): Promise<void>;
}[] = [
  {
    name: "every recorded delivery gets 200, and the listener gets each of its events once",
    async run(origin, { recorded }) {
      const expected = new Map<string, Recorded["events"][number]>();
      try {
        for (const { name, timestamp, delivery, events } of recorded) {
          await state(origin, { time: String(timestamp) });
          const { status } = await request(origin, delivery);
          expect([name, status]).toEqual([name, 200]);
          // Some deliveries are the same event with another signature.
          for (const event of events) if (!expected.has(event.id)) expected.set(event.id, event);
        }
      } finally {
        await state(origin, { time: "" });
      }
      expect(expected.size).toBeGreaterThan(0);
      for (const [id, event] of expected) expect(await received(origin, id)).toEqual([event]);
    },
  },
  {
    name: "a secret and a body beyond ASCII verify, and the listener gets the text unchanged",
    async run(origin, { signed }) {
      const id = randomUUID();
      const fields = { note: "café ✓ 🔑 \u2028" };
      const answer = await request(origin, signed({ id, fields, secret: "ключ-🔑" }));
      expect(outcome(answer)).toEqual({ status: 200, handled: 1 });
      expect(await received(origin, id)).toMatchObject([{ data: fields }]);
    },
  },
  {
    name: "a forged delivery gets 401",
    async run(origin, { signed }) {
      const id = randomUUID();
      const answer = await request(origin, signed({ id, secret: "guessed" }));
      expect(outcome(answer)).toEqual({ status: 401, code: "SIGNATURE_MISMATCH" });
      expect(await received(origin, id)).toEqual([]);
    },
  },
  {
    name: "an unsigned delivery gets 401",
    async run(origin, { path, signed }) {
      const id = randomUUID();
      const { body } = signed({ id });
      const answer = await request(origin, { path, headers: { "x-event-id": id }, body });
      expect(outcome(answer)).toEqual({ status: 401, code: "SIGNATURE_MISSING" });
      expect(await received(origin, id)).toEqual([]);
    },
  },
  {
    name: "an altered delivery gets 401",
    async run(origin, { signed }) {
      const id = randomUUID();
      const genuine = signed({ id });
      for (const body of [`${genuine.body} `, genuine.body.replace("-1", "-2"), genuine.body.slice(0, -1)]) {
        expect(outcome(await request(origin, { ...genuine, body }))).toMatchObject({ status: 401 });
      }
      expect(await received(origin, id)).toEqual([]);
    },
  },
  {
    name: "a delivery signed six minutes ago, or ahead, gets 401",
    async run(origin, { signed }) {
      for (const minutes of [-6, 6]) {
        const id = randomUUID();
        const answer = await request(origin, signed({ id, timestamp: Date.now() + minutes * 60_000 }));
        expect(outcome(answer)).toEqual({ status: 401, code: "TIMESTAMP_OUT_OF_TOLERANCE" });
        expect(await received(origin, id)).toEqual([]);
      }
    },
  },
  {
    name: "another method gets 405 with Allow: POST",
    async run(origin, { path }) {
      for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
        const { status, headers } = await request(origin, { method, path });
        expect([method, status, headers.allow]).toEqual([method, 405, "POST"]);
      }
    },
  },
  {
    name: "a body with a Content-Length over the limit gets a 413 that arrives",
    async run(origin, sender) {
      const answer = await request(origin, { path: sender.path, body: TOO_LARGE });
      expect(outcome(answer)).toEqual({ status: 413, code: "BODY_TOO_LARGE" });
      await isAlive(origin, sender);
    },
  },
  {
    name: "a chunked body over the limit gets a 413 that arrives",
    async run(origin, sender) {
      const answer = await request(origin, { path: sender.path, body: TOO_LARGE, chunked: true });
      expect(outcome(answer)).toEqual({ status: 413, code: "BODY_TOO_LARGE" });
      await isAlive(origin, sender);
    },
  },
  {
    name: "4 MiB are handled, chunked or not",
    async run(origin, { signed }) {
      for (const chunked of [false, true]) {
        const id = randomUUID();
        const delivery = signed({ id, fields: { text: "x".repeat(FOUR_MIB) } });
        expect(outcome(await request(origin, { ...delivery, chunked }))).toEqual({ status: 200, handled: 1 });
        const texts = (await received(origin, id)).map(({ data }) => (data as { text: string }).text);
        expect(texts.map(({ length }) => length)).toEqual([FOUR_MIB]);
      }
    },
  },
  {
    name: "a redelivered event is a duplicate, and the listener gets it once",
    async run(origin, { signed }) {
      const id = randomUUID();
      const delivery = signed({ id });
      expect(outcome(await request(origin, delivery))).toEqual({ status: 200, handled: 1 });
      expect(outcome(await request(origin, delivery))).toEqual({ status: 200, duplicate: 1 });
      expect(await received(origin, id)).toHaveLength(1);
    },
  },
  {
    name: "one of five concurrent deliveries handles the event, and all share its outcome",
    async run(origin, sender) {
      const id = randomUUID();
      const delivery = sender.signed({ id, fields: { ask: "wait" } });
      const answers = Promise.all(Array.from({ length: 5 }, () => request(origin, delivery)));
      await eventually(async () => expect(await received(origin, id)).not.toEqual([]));
      // Another delivery is answered first, so premature answers to these would have arrived by now.
      await isAlive(origin, sender);
      await state(origin, { release: id });
      const outcomes = (await answers).map(outcome);
      expect(outcomes.filter(({ handled }) => handled === 1)).toHaveLength(1);
      expect(outcomes.filter(({ duplicate }) => duplicate === 1)).toHaveLength(4);
      expect(await received(origin, id)).toHaveLength(1);
    },
  },
  {
    name: "an event whose listener fails gets 500, and its redelivery gets 200",
    async run(origin, { signed }) {
      const id = randomUUID();
      const delivery = signed({ id, fields: { ask: "fail once" } });
      const failed = await request(origin, delivery);
      expect(outcome(failed)).toEqual({ status: 500, code: "EVENT_FAILED", failed: 1 });
      expect(failed.text).not.toContain("asked to fail");
      expect(outcome(await request(origin, delivery))).toEqual({ status: 200, handled: 1 });
      expect(await received(origin, id)).toHaveLength(2);
    },
  },
  ...["a.new.type", "constructor"].map((type) => ({
    name: `an event of the unknown type ${type} gets 200 and reaches the listener`,
    async run(origin: string, { signed }: Sender) {
      const id = randomUUID();
      const answer = await request(origin, signed({ id, type }));
      expect(outcome(answer)).toEqual({ status: 200, unrecognized: 1 });
      expect(await received(origin, id)).toMatchObject([{ id, type }]);
    },
  })),
  {
    name: "signed bytes that are not UTF-8 get 400",
    async run(origin, { signed }) {
      const delivery = signed({ body: Buffer.from('{"events":[],"x":"\xff"}', "latin1") });
      expect(outcome(await request(origin, delivery))).toEqual({ status: 400, code: "BODY_NOT_JSON" });
    },
  },
  {
    name: "Content-Encoding gzip gets 415",
    async run(origin, { signed }) {
      const id = randomUUID();
      const { headers, ...delivery } = signed({ id });
      const answer = await request(origin, {
        ...delivery,
        headers: { ...headers, "content-encoding": "gzip" },
      });
      expect(outcome(answer)).toEqual({ status: 415, code: "ENCODING_UNSUPPORTED" });
      expect(await received(origin, id)).toEqual([]);
    },
  },
  {
    name: "an aborted upload reaches no listener, and the app stays up",
    async run(origin, sender) {
      const id = randomUUID();
      const delivery = sender.signed({ id });
      for (let i = 0; i < 10; i++) {
        const socket = await written(origin, delivery, 20);
        socket.destroy();
      }
      await isAlive(origin, sender);
      expect(await received(origin, id)).toEqual([]);
    },
  },
  ...(["destroy", "resetAndDestroy"] as const).map((how) => ({
    name: `context.signal aborts when the sender ${how === "destroy" ? "closes" : "resets"} the connection`,
    async run(origin: string, sender: Sender, patience?: number) {
      const id = randomUUID();
      await hangUp(origin, sender.signed({ id, fields: { ask: "wait" } }), id, how);
      try {
        await eventually(async () => expect((await state(origin)).aborted).toContain(id), patience);
      } finally {
        await state(origin, { release: id });
      }
      await isAlive(origin, sender);
    },
  })),
  {
    name: "a listener finishes after the sender hangs up, and the redelivery is a duplicate",
    async run(origin, { signed }) {
      const id = randomUUID();
      const delivery = signed({ id, fields: { ask: "wait" } });
      await hangUp(origin, delivery, id, "resetAndDestroy");
      const redelivered = request(origin, delivery);
      await state(origin, { release: id });
      expect(outcome(await redelivered)).toEqual({ status: 200, duplicate: 1 });
      expect(await received(origin, id)).toHaveLength(1);
    },
  },
];

export const CHECKS: readonly Check[] = [
  ...[toloka, prolific].flatMap((sender) =>
    OF_EACH.map(({ name, run }) => ({
      provider: sender.provider,
      name,
      run: (origin: string, patience?: number) => run(origin, sender, patience),
    })),
  ),
  {
    provider: "Toloka",
    name: "a signature whose leading zeros were dropped is genuine",
    async run(origin) {
      const id = randomUUID();
      let delivery: Signed;
      // One signature in 16 begins with a zero.
      do delivery = toloka.signed({ id, fields: { nonce: randomUUID() } });
      while (!/sign=0/.test(String(delivery.headers?.["toloka-signature"])));
      const signature = String(delivery.headers?.["toloka-signature"]).replace(/sign=0+/, "sign=");
      const answer = await request(origin, { ...delivery, headers: { "toloka-signature": signature } });
      expect(outcome(answer)).toEqual({ status: 200, handled: 1 });
      expect(await received(origin, id)).toHaveLength(1);
    },
  },
];

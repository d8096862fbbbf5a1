import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import type { ClaimStore } from "./claiming/claims.js";
import type { ProlificEvents, ProlificEventType } from "./providers/prolific/index.js";
import type { TolokaEvents, TolokaEventType } from "./providers/toloka/index.js";

/** A signed request, for `fetch`, supertest, Fastify's `inject` or a receiver's `handle`. */
export interface SignedDelivery {
  readonly method: "POST";
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. The signature is over its UTF-8 bytes: send it as it is. */
  readonly body: string;
}

export interface SignTolokaOptions {
  readonly secret: string;
  /** Sent as they are, in an envelope. */
  readonly events?: readonly object[];
  /** Sent in place of an envelope of `events`. */
  readonly body?: string;
  /** When it is signed: Unix time in milliseconds. Default: now. */
  readonly timestamp?: number;
}

/** A delivery as Toloka would send it. Its events are sent as they are, so they may well be wrong. */
export function signToloka(options: SignTolokaOptions): SignedDelivery {
  const { secret, events = [], body = JSON.stringify({ events }), timestamp = Date.now() } = options;
  const sign = createHmac("sha256", secret).update(`${timestamp}.1.`).update(body).digest("hex");
  return {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "toloka-signature": `{v=1, ts=${timestamp}, sign=${sign}}`,
    },
    body,
  };
}

const COMMON = { project_id: "project-1", pool_id: "pool-1" };
const SUBSCRIBED = { ...COMMON, webhook_subscription_id: "subscription-1" };
const ASSIGNMENT = { ...SUBSCRIBED, task_suite_id: "task-suite-1", assignment_id: "assignment-1" };

const TOLOKA_SAMPLES: {
  readonly [Type in TolokaEventType]: Omit<TolokaEvents[Type], "uuid" | "event_time">;
} = {
  POOL_CLOSED: { ...SUBSCRIBED, close_reason: "MANUAL" },
  ASSIGNMENT_CREATED: ASSIGNMENT,
  ASSIGNMENT_SUBMITTED: ASSIGNMENT,
  ASSIGNMENT_SKIPPED: ASSIGNMENT,
  ASSIGNMENT_EXPIRED: ASSIGNMENT,
  ASSIGNMENT_APPROVED: ASSIGNMENT,
  ASSIGNMENT_REJECTED: ASSIGNMENT,
  DYNAMIC_OVERLAP_COMPLETED: {
    ...SUBSCRIBED,
    task_id: "task-1",
    confidence: 0.155,
    assignment_ids: ["assignment-1", "assignment-2"],
    output_values: { field_one: "value-1" },
  },
  TEST_EVENT: COMMON,
};

/** A valid event of a type with a `uuid` of its own, as Toloka writes it; `fields` replace or add to its own. */
export function tolokaEvent<Type extends TolokaEventType>(
  type: Type,
  fields: Readonly<Record<string, unknown>> = {},
): TolokaEvents[Type] & { type: Type } {
  const sample: object = TOLOKA_SAMPLES[type];
  return {
    uuid: randomUUID(),
    event_time: new Date().toISOString().slice(0, 19),
    ...sample,
    type,
    ...fields,
  } as unknown as TolokaEvents[Type] & { type: Type };
}

export interface SignProlificOptions {
  readonly secret: string;
  /** Sent as it is. */
  readonly event?: object;
  /** Sent in place of `event`. */
  readonly body?: string;
  /** `X-Event-ID`. Default: one of its own. */
  readonly id?: string;
  /** When the event occurred, `X-Timestamp`: Unix time in milliseconds. Default: `timestamp`. */
  readonly occurredAt?: number;
  /** When it is signed: Unix time in milliseconds. Default: now. Prolific sends whole seconds. */
  readonly timestamp?: number;
}

/** A delivery as Prolific would send it. Its event is sent as it is, so it may well be wrong. */
export function signProlific(options: SignProlificOptions): SignedDelivery {
  const {
    secret,
    event = {},
    body = JSON.stringify(event),
    id = randomUUID(),
    timestamp = Date.now(),
  } = options;
  const { occurredAt = timestamp } = options;
  const seconds = String(Math.floor(timestamp / 1000));
  return {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-event-id": id,
      "x-timestamp": String(Math.floor(occurredAt / 1000)),
      "x-prolific-request-timestamp": seconds,
      "x-prolific-request-signature": createHmac("sha256", secret)
        .update(seconds)
        .update(body)
        .digest("base64"),
    },
    body,
  };
}

const PROLIFIC_SAMPLES: { readonly [Type in ProlificEventType]: Omit<ProlificEvents[Type], "event_type"> } = {
  "submission.status.change": {
    resource_id: "submission-1",
    participant_id: "participant-1",
    status: "AWAITING REVIEW",
  },
  "study.status.change": { resource_id: "study-1", metadata: {}, status: "ACTIVE" },
  "study.progress.change": { resource_id: "study-1" },
  "study.has_high_return_rate": { resource_id: "study-1", metadata: { return_rate: 0.5 } },
};

/** A valid event of a type, as Prolific writes it; `fields` replace or add to its own. */
export function prolificEvent<Type extends ProlificEventType>(
  type: Type,
  fields: Readonly<Record<string, unknown>> = {},
): ProlificEvents[Type] {
  const sample: object = PROLIFIC_SAMPLES[type];
  return { ...sample, event_type: type, ...fields } as unknown as ProlificEvents[Type];
}

/** A clock that stands still until it is told otherwise. */
export interface TestClock {
  /** Unix time in milliseconds. */
  (): number;
  set(time: number): void;
  /** Moves the clock by so many milliseconds, backwards if negative. */
  advance(milliseconds: number): void;
}

/** @param time Where it starts: Unix time in milliseconds. Default: now. */
export function testClock(time = Date.now()): TestClock {
  let now = time;
  return Object.assign(() => now, {
    set(to: number) {
      now = to;
    },
    advance(milliseconds: number) {
      now += milliseconds;
    },
  });
}

/** A store to check, and the time to check it by. */
export interface ClaimStoreUnderTest {
  readonly store: ClaimStore;
  /** Lets so many milliseconds pass for the store, or has it believe so. */
  advance(milliseconds: number): unknown;
}

/** What every `ClaimStore` must do, for any test runner: `check` rejects if the store does otherwise. */
export const claimStoreChecks: readonly {
  readonly name: string;
  check(underTest: ClaimStoreUnderTest): Promise<void>;
}[] = [
  {
    name: "one owner wins, others find it busy, and once it is settled all find it done",
    async check({ store }) {
      const key = randomUUID();
      assert.equal(await store.claim(key, "a", 10_000), "won");
      assert.equal(await store.claim(key, "b", 10_000), "busy");
      assert.equal(await store.settle(key, "a", 10_000), true);
      assert.equal(await store.claim(key, "a", 10_000), "done");
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "of many that claim at once exactly one wins",
    async check({ store }) {
      const key = randomUUID();
      const claims = await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.claim(key, `owner-${i}`, 10_000)),
      );
      assert.equal(claims.filter((claim) => claim === "won").length, 1);
      assert.equal(claims.filter((claim) => claim === "busy").length, 49);
    },
  },
  {
    name: "a claim that is released can be won by another",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "won");
    },
  },
  {
    name: "a claim is free once its lease is over, and its late owner can neither settle nor release it then",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(5_000);
      assert.equal(await store.claim(key, "b", 10_000), "busy");
      await advance(5_001);
      assert.equal(await store.claim(key, "b", 10_000), "won");
      assert.equal(await store.settle(key, "a", 10_000), false);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "c", 10_000), "busy");
      assert.equal(await store.settle(key, "b", 10_000), true);
      assert.equal(await store.settle(key, "a", 10_000), false);
    },
  },
  {
    name: "an owner that claims again has a new lease",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(8_000);
      assert.equal(await store.claim(key, "a", 10_000), "won");
      await advance(8_000);
      assert.equal(await store.claim(key, "b", 10_000), "busy");
    },
  },
  {
    name: "an owner whose lease is over can still settle, as long as nobody took over",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(20_000);
      assert.equal(await store.settle(key, "a", 10_000), true);
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "what is done is forgotten after its time to live, and not before",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 1_000);
      await store.settle(key, "a", 60_000);
      await advance(59_000);
      assert.equal(await store.claim(key, "b", 1_000), "done");
      await advance(1_001);
      assert.equal(await store.claim(key, "b", 1_000), "won");
    },
  },
  {
    name: "what is done cannot be released",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.settle(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "keys are told apart, whatever they are made of",
    async check({ store }) {
      const keys = [
        "",
        " ",
        "constructor",
        "__proto__",
        "a{b}c",
        "}{",
        "a:b",
        "a\nb",
        "ключ-🔑",
        "x".repeat(300),
      ];
      for (const key of keys.map((key) => randomUUID() + key)) {
        assert.equal(await store.claim(key, "a", 10_000), "won");
        assert.equal(await store.claim(`${key}x`, "b", 10_000), "won");
      }
    },
  },
  {
    name: "an owner may be called anything, even what the store itself writes",
    async check({ store }) {
      for (const owner of ["done", "busy", "1", "held:a", ""]) {
        const key = randomUUID();
        assert.equal(await store.claim(key, owner, 10_000), "won");
        assert.equal(await store.claim(key, `${owner}x`, 10_000), "busy");
        assert.equal(await store.settle(key, owner, 10_000), true);
      }
    },
  },
  {
    name: "if it remembers the latest time of a key, that is the greatest one, for its time to live",
    async check({ store, advance }) {
      if (!store.latestOccurrence || !store.recordOccurrence) return;
      const key = randomUUID();
      assert.equal(await store.latestOccurrence(key), undefined);
      await store.recordOccurrence(key, 1_700_000_000_000, 60_000);
      await store.recordOccurrence(key, 1_600_000_000_000, 60_000);
      assert.equal(await store.latestOccurrence(key), 1_700_000_000_000);
      await advance(60_001);
      assert.equal(await store.latestOccurrence(key), undefined);
    },
  },
];

export { type DurableSinksUnderTest, durableSinkChecks } from "./conformance/durable-sink-checks.js";

import { createHmac, randomUUID } from "node:crypto";
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

const SAMPLES: { readonly [Type in TolokaEventType]: Omit<TolokaEvents[Type], "uuid" | "event_time"> } = {
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
  const sample: object = SAMPLES[type];
  return {
    uuid: randomUUID(),
    event_time: new Date().toISOString().slice(0, 19),
    ...sample,
    type,
    ...fields,
  } as unknown as TolokaEvents[Type] & { type: Type };
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

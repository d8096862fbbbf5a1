import { createHmac } from "node:crypto";
import type { ReceiverOptions } from "@crowdhook/core";
import { signToloka, testClock } from "@crowdhook/core/testing";
import { afterEach, beforeEach, vi } from "vitest";
import type { Answer } from "./request.js";
import type { Running, Target } from "./targets.js";

export const SECRET = "12345";
export const NOW = 1_581_682_978_000;

/** The counts of a reply that handled nothing. */
export const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

export function contentOf(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.text);
}

/** A delivery of Toloka, signed with `SECRET`. */
export function signed(body: string | object[], timestamp = NOW) {
  return signToloka({
    secret: SECRET,
    timestamp,
    ...(typeof body === "string" ? { body } : { events: body }),
  });
}

/** A signed delivery of bytes that no string encodes. */
export function signedBytes(body: Uint8Array) {
  const sign = createHmac("sha256", SECRET).update(`${NOW}.1.`).update(body).digest("hex");
  return { headers: { "toloka-signature": `{v=1, ts=${NOW}, sign=${sign}}` }, body };
}

/**
 * Prepares a `describe` block for one target: sets the clock to `NOW` before each test, and closes the
 * started apps after it. `start` also notes the types of the events that reach Toloka's listeners.
 */
export function prepare(target: Target) {
  const clock = testClock(NOW);
  const started: Running[] = [];

  beforeEach(() => clock.set(NOW));
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(started.splice(0).map((running) => running.close()));
  });

  async function start(options: ReceiverOptions = {}): Promise<Running & { types: string[] }> {
    const running = await target.start({
      clock,
      ...("unsigned" in options ? {} : { secret: SECRET }),
      ...options,
    });
    started.push(running);
    const types: string[] = [];
    running.webhook.onAny((event) => types.push(event.type));
    return Object.assign(running, { types });
  }

  return { clock, start };
}

import type { ReceiverOptions } from "../src/options.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import type { Reply } from "../src/reply.js";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "../src/testing.js";

export const SECRET = "12345";
/** The time of every clock and signature that a test does not set itself. Unix time in milliseconds. */
export const NOW = 1_581_682_978_000;

export function receiverWith(options: ReceiverOptions = {}) {
  return createReceiver(toloka, { secret: SECRET, clock: () => NOW, ...options });
}

export function prolificWith(options: ReceiverOptions = {}) {
  return createReceiver(prolific, { secret: SECRET, clock: () => NOW, ...options });
}

/** Returns a signed Toloka delivery of these events. */
export function signed(...events: object[]) {
  return signToloka({ secret: SECRET, timestamp: NOW, events });
}

/** Returns a signed Prolific delivery about a study, sent `seconds` after `NOW`. */
export function signedStudy(resource_id: string, id: string, seconds = 0) {
  return signProlific({
    secret: SECRET,
    id,
    timestamp: NOW + seconds * 1000,
    event: prolificEvent("study.status.change", { resource_id }),
  });
}

export function closed(uuid: string) {
  return tolokaEvent("POOL_CLOSED", { uuid });
}

export function submitted(uuid: string, assignment_id: string) {
  return tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid, assignment_id });
}

export function contentOf(reply: Pick<Reply, "body">) {
  return JSON.parse(reply.body);
}

export function never(): Promise<never> {
  return new Promise(() => {});
}

/** Returns a promise that the test resolves with `open` or rejects with `fail`. */
export function deferred() {
  let open: (value?: unknown) => void = () => {};
  let fail: (reason: unknown) => void = () => {};
  const passed = new Promise((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { passed, open, fail };
}

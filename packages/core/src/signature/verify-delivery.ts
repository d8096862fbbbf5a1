import { toBytes } from "../body.js";
import { type Bytes, type IncomingDelivery, toHeaders } from "../delivery.js";
import { ERRORS, type ErrorCode } from "../errors.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import { createLog } from "../observing/log.js";
import { checkProvider } from "../options.js";
import type { Provider } from "../provider.js";
import { readEvents } from "../providers/read-events.js";
import type { Secrets } from "./secrets.js";
import { createVerifier } from "./verify.js";

/** A delivery that `verify` refused. `message` is constant for each code, so it may reach the sender. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
  readonly code: ErrorCode;
  /** The HTTP status that a receiver would answer with. */
  readonly status: number;
  /** The likely mistake and its fix, for the operator. Do not send it to the sender. */
  readonly reason: string;

  constructor(code: ErrorCode, reason?: string) {
    super(ERRORS[code].message);
    this.code = code;
    this.status = ERRORS[code].status;
    this.reason = reason ?? ERRORS[code].message;
  }
}

/** A request, as far as `verify` reads it. */
export interface SignedRequest {
  readonly headers: IncomingDelivery["headers"];
  /** The exact bytes; a string stands for its UTF-8 bytes. */
  readonly body: Bytes | string;
}

/** Limits and the clock of one verification. */
export interface VerifyOptions {
  /** How far the time of signing may be from `clock`, in either direction, in seconds. Default 300. */
  readonly tolerance?: number | undefined;
  /** The largest accepted number of events. Default 10,000. */
  readonly maxEvents?: number | undefined;
  /** Returns Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Verifies one delivery without a receiver, and returns its events. It claims nothing, so a redelivery
 * or a replay within the tolerance returns the same events again: deduplicate them by `id`.
 *
 * @throws WebhookError for a delivery that is refused.
 * @throws TypeError for a secret or an option that cannot work.
 */
export async function verify<Events extends EventMap>(
  provider: Provider<Events>,
  { headers, body }: SignedRequest,
  secret: Secrets | undefined,
  options: VerifyOptions = {},
): Promise<readonly ReceivedEvent<Events>[]> {
  checkProvider(provider);
  const check = createVerifier(
    provider as Provider,
    { ...options, secret },
    createLog(provider.name, SILENT),
  );
  const bytes = toBytes(body);
  if (bytes === undefined) {
    throw new WebhookError("BODY_UNAVAILABLE", "the body is neither bytes nor text. Pass the raw body.");
  }
  const delivery = { method: "POST", headers: toHeaders(headers), body: bytes };
  const digest = await check(delivery);
  if (typeof digest === "object") throw new WebhookError(digest.code, digest.reason);
  const events = readEvents(provider, delivery, (options.clock ?? Date.now)(), options.maxEvents);
  if ("code" in events) throw new WebhookError(events.code, events.reason);
  return events;
}

import { ERRORS, type ErrorCode } from "./errors.js";

/** A value, or a promise of one. What is not thenable is never awaited. */
export type MaybePromise<T> = T | PromiseLike<T>;

/** Request headers by name, in any case; several lines of one name are joined by `", "`. */
export interface DeliveryHeaders {
  get(name: string): string | null | undefined;
}

/** One HTTP request from a provider. */
export interface Delivery {
  readonly method: string;
  readonly headers: DeliveryHeaders;
  /** The bytes exactly as they were sent: a signature is over these. */
  readonly body: Uint8Array;
}

/** Bytes in any of the forms in which hosts hand them out. */
export type Bytes = ArrayBuffer | ArrayBufferView;

/** Why there are no bytes. `hint` tells the operator how to mend it; the sender never sees it. */
export interface BodyFailure {
  readonly code: "BODY_TOO_LARGE" | "BODY_ABORTED" | "BODY_UNAVAILABLE";
  readonly hint?: string;
}

/** What `handle` takes: a delivery as an app or an adapter has it at hand. */
export interface IncomingDelivery {
  readonly method: string;
  /** Anything with `get(name)` such as `Headers`, or a record such as Node's `req.headers`. */
  readonly headers: DeliveryHeaders | Readonly<Record<string, string | readonly string[] | undefined>>;
  /**
   * The exact bytes; a string stands for its UTF-8 bytes. Or a function that reads them, called
   * once the head of the request has passed, with the greatest size in bytes to accept.
   */
  readonly body: Bytes | string | ((limit: number) => MaybePromise<Bytes | string | BodyFailure>);
  /** Aborts when the sender hangs up. Read only if a listener asks for it. */
  readonly signal?: AbortSignal | undefined;
}

/** What to answer. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: the `code` unless all went well, and how many events had which outcome. ASCII. */
  readonly body: string;
}

/** How many events of a delivery had which outcome. What no store or sink took is in none of them. */
export interface Counts {
  /** Listeners ran, and none failed. */
  readonly handled: number;
  /** Handled before, or by a concurrent delivery. */
  readonly duplicate: number;
  /** A listener failed, or the data does not fit its type and no listener took it all the same. */
  readonly failed: number;
  /** Another process is at it right now. */
  readonly busy: number;
  /** Of a type, or with data, that this release does not know; listeners for that ran. */
  readonly unrecognized: number;
}

/** Seconds after which a sender may try again what was answered with 503. */
const RETRY_AFTER = "5";

export function replyTo(code: ErrorCode | undefined, counts?: Counts): Reply {
  const counted = counts ? written(counts) : "";
  if (code === undefined) return json(200, `{${counted}}`);
  const { status, message } = ERRORS[code];
  const reply = json(status, `{"code":"${code}","message":"${message}"${counted && `,${counted}`}}`);
  if (status === 405) reply.headers.allow = "POST";
  if (status === 503) reply.headers["retry-after"] = RETRY_AFTER;
  return reply;
}

/** By hand: JSON.stringify would take as long as a tenth of a small delivery. */
function written({ handled, duplicate, failed, busy, unrecognized }: Counts): string {
  return `"handled":${handled},"duplicate":${duplicate},"failed":${failed},"busy":${busy},"unrecognized":${unrecognized}`;
}

/** @param body Codes, constant sentences and numbers: ASCII, so its length in characters is that in bytes. */
function json(status: number, body: string): Reply & { headers: Record<string, string> } {
  return {
    status,
    headers: { "content-type": "application/json", "content-length": String(body.length) },
    body,
  };
}

export function headersOf(headers: IncomingDelivery["headers"]): DeliveryHeaders {
  if (typeof headers.get === "function") return headers as DeliveryHeaders;
  const record = headers as Readonly<Record<string, string | readonly string[] | undefined>>;
  return {
    get(name) {
      const wanted = name.toLowerCase();
      const lines: string[] = [];
      for (const key of Object.keys(record)) {
        if (key.length !== wanted.length || key.toLowerCase() !== wanted) continue;
        const value = record[key];
        if (value !== undefined) lines.push(...(typeof value === "string" ? [value] : value));
      }
      return lines.length === 0 ? undefined : lines.join(", ");
    },
  };
}

const encoder = new TextEncoder();

/** Told by its name rather than its class, which is another one in another realm. */
function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}

/** A string's UTF-8 bytes, or bytes of any form; `undefined` for anything else, such as a parsed body. */
export function bytesOf(body: unknown): Uint8Array | undefined {
  if (body instanceof Uint8Array) return body;
  if (typeof body === "string") return encoder.encode(body);
  if (typeof body !== "object") return undefined;
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return isArrayBuffer(body) ? new Uint8Array(body) : undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The JSON in a body; `undefined` if it is none. */
export function parseJson(body: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(decoder.decode(body)) };
  } catch {
    return undefined;
  }
}

/** Bytes beyond the limit that are still read, and thrown away, before a sender gets its 413. */
const DISCARDED_MAX = 64 * 1024 * 1024;
/** A sender of too much that is silent for this long is taken to wait for its answer. */
const SILENCE_MS = 250;

/**
 * Gathers a body that comes in chunks, up to a limit in bytes. Beyond it nothing is kept, but the
 * answer waits for the sender to finish: a host that answers and closes while the sender is still
 * writing makes it fail at that, and never read its 413.
 *
 * @param contentLength The header of that name: spares keeping what is too large by its own account.
 */
export function gather(limit: number, contentLength: string | null | undefined) {
  let resolve: (body: Uint8Array | BodyFailure) => void;
  const body = new Promise<Uint8Array | BodyFailure>((settle) => {
    resolve = settle;
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  let tooLarge = false;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let finished = false;
  const finish = (result: Uint8Array | BodyFailure) => {
    if (finished) return;
    finished = true;
    clearTimeout(silence);
    // The host's stream holds on to what reads it, and so to these.
    chunks.length = 0;
    resolve(result);
  };
  const discard = () => {
    tooLarge = true;
    chunks.length = 0;
    clearTimeout(silence);
    const refuse = () => finish({ code: "BODY_TOO_LARGE" });
    if (size > limit + DISCARDED_MAX) refuse();
    else silence = setTimeout(refuse, SILENCE_MS);
  };
  if (Number(contentLength) > limit) discard();
  return {
    body,
    /** Whether more is of use: not once the body is given up. */
    push(data: Bytes | string): boolean {
      if (finished) return false;
      const chunk = bytesOf(data);
      if (chunk === undefined) {
        finish({ code: "BODY_ABORTED" });
        return false;
      }
      size += chunk.byteLength;
      if (tooLarge || size > limit) discard();
      else chunks.push(chunk);
      return !finished;
    },
    end() {
      finish(tooLarge ? { code: "BODY_TOO_LARGE" } : concat(chunks, size));
    },
    abort() {
      finish({ code: "BODY_ABORTED" });
    },
  };
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = chunks;
  // One chunk needs no copy.
  if (chunks.length === 1 && first !== undefined) return first;
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

export function isThenable<T>(value: MaybePromise<T>): value is PromiseLike<T> {
  return (
    value !== null &&
    (typeof value === "object" || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function"
  );
}

/** Goes on with a value at once, or with a promised one when it is there. */
export function chain<T, Result>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<Result>,
): MaybePromise<Result> {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}

import type { BodyFailure, Bytes, IncomingDelivery } from "./delivery.js";
import { isThenable, type MaybePromise } from "./values/maybe-promise.js";

const UNAVAILABLE: BodyFailure = { code: "BODY_UNAVAILABLE" };
const ABORTED: BodyFailure = { code: "BODY_ABORTED" };
const FAILURES: ReadonlySet<unknown> = new Set(["BODY_TOO_LARGE", "BODY_ABORTED", "BODY_UNAVAILABLE"]);

/**
 * The exact bytes of a body, or why there are none. Never throws or rejects.
 *
 * @param limit Where a reader function may stop reading. What it gives is not measured here.
 */
export function readBody(
  source: IncomingDelivery["body"],
  limit: number,
): MaybePromise<Uint8Array | BodyFailure> {
  if (typeof source !== "function") return toBytes(source) ?? UNAVAILABLE;
  let read: MaybePromise<Bytes | string | BodyFailure>;
  try {
    read = source(limit);
  } catch {
    return ABORTED;
  }
  if (!isThenable(read)) return bytesOrFailure(read);
  return Promise.resolve(read).then(bytesOrFailure, () => ABORTED);
}

function bytesOrFailure(read: Bytes | string | BodyFailure): Uint8Array | BodyFailure {
  return toBytes(read) ?? (isFailure(read) ? read : UNAVAILABLE);
}

/** Only a reader function may report a failure: a sender's JSON must not pass for one. */
function isFailure(read: unknown): read is BodyFailure {
  return typeof read === "object" && read !== null && "code" in read && FAILURES.has(read.code);
}

const encoder = new TextEncoder();

/** Told by its name rather than its class, which is another one in another realm. */
function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}

/** A string's UTF-8 bytes, or bytes of any form; `undefined` for anything else, such as a parsed body. */
export function toBytes(body: unknown): Uint8Array | undefined {
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
      const chunk = toBytes(data);
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

import type { BodyFailure, Bytes, IncomingDelivery } from "./delivery.js";
import { decodeUtf8, encodeUtf8 } from "./text/utf8.js";
import { isThenable, type MaybePromise } from "./values/maybe-promise.js";

/** `UTF-8` is no encoding in the sense of this header, but proxies and frameworks write it there. */
const NO_ENCODING = /^\s*(?:identity|utf-?8)(?:\s*,\s*(?:identity|utf-?8))*\s*$/i;

/** Returns whether a `Content-Encoding` says that the body is compressed or otherwise encoded. */
export function isEncoded(contentEncoding: string | null | undefined): boolean {
  return Boolean(contentEncoding) && !NO_ENCODING.test(contentEncoding as string);
}

/** The reason for a body that is not bytes, unless the adapter names a better one. */
export const NO_BYTES =
  "handle got a body that is neither bytes nor text, such as a parsed object. Pass the raw bytes of the request.";

const UNAVAILABLE: BodyFailure = { code: "BODY_UNAVAILABLE" };
const ABORTED: BodyFailure = { code: "BODY_ABORTED" };
const FAILURES: ReadonlySet<unknown> = new Set(["BODY_TOO_LARGE", "BODY_ABORTED", "BODY_UNAVAILABLE"]);

/**
 * Returns the exact bytes of a body, or why there are none. Never throws or rejects.
 *
 * @param limit In bytes. A reader function may stop reading there. The result is not measured here.
 */
export function readBody(
  source: IncomingDelivery["body"],
  limit: number,
): MaybePromise<Uint8Array | BodyFailure> {
  if (typeof source !== "function") return toBytes(source) ?? UNAVAILABLE;
  let read: MaybePromise<Bytes | string | BodyFailure>;
  try {
    read = source(limit);
  } catch (error) {
    return failureOf(error);
  }
  if (!isThenable(read)) return bytesOrFailure(read);
  return Promise.resolve(read).then(bytesOrFailure, failureOf);
}

const HOST_LIMIT: BodyFailure = {
  code: "BODY_TOO_LARGE",
  hint: "the host stopped the body at a limit of its own, below maxBodySize. Raise the limit of the server, its body parser or its middleware.",
};

/**
 * Returns why a body ended with this error. Hosts and middleware with a limit of their own end it with an
 * error that has the status 413, or a name or a code such as `PayloadTooLargeError`, `BodyLimitError`,
 * `FST_ERR_CTP_BODY_TOO_LARGE`. Every other error means that the sender hung up.
 */
export function failureOf(error: unknown): BodyFailure {
  try {
    const { status, statusCode, name, code, cause } = Object(error) as Record<string, unknown>;
    if (status === 413 || statusCode === 413) return HOST_LIMIT;
    if (/too_?large|body_?limit|size_?limit|max_?body/i.test(`${String(name)} ${String(code)}`))
      return HOST_LIMIT;
    return cause === undefined || cause === error ? ABORTED : failureOf(cause);
  } catch {
    // Errors can have getters that throw, and causes can form a circle.
    return ABORTED;
  }
}

function bytesOrFailure(read: Bytes | string | BodyFailure): Uint8Array | BodyFailure {
  return toBytes(read) ?? (isFailure(read) ? read : UNAVAILABLE);
}

/** Only a reader function may report a failure: a body parsed from a sender's JSON must not pass for one. */
function isFailure(read: unknown): read is BodyFailure {
  return typeof read === "object" && read !== null && "code" in read && FAILURES.has(read.code);
}

/** Compares by name, because each realm has a class of its own. */
function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}

/** Returns the bytes of a string in UTF-8 or of any binary form; `undefined` for anything else, such as a parsed body. */
export function toBytes(body: unknown): Uint8Array | undefined {
  if (body instanceof Uint8Array) return body;
  if (typeof body === "string") return encodeUtf8(body);
  if (typeof body !== "object") return undefined;
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return isArrayBuffer(body) ? new Uint8Array(body) : undefined;
}

/** Returns the JSON in a body; `undefined` if the body is not JSON in UTF-8. */
export function parseJson(body: Uint8Array): { value: unknown } | undefined {
  const text = decodeUtf8(body);
  if (text === undefined) return undefined;
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** How many bytes beyond the limit are read and discarded before the sender gets its 413. */
const DISCARDED_MAX = 64 * 1024 * 1024;
/** A sender of too many bytes that pauses for this long is assumed to wait for its reply. */
const SILENCE_MS = 250;

/**
 * Gathers a body that arrives in chunks, up to a limit in bytes. Beyond the limit nothing is kept, but
 * the reply waits for the sender to finish: if the host replied and closed earlier, the sender's write
 * would fail and it would never read its 413.
 *
 * @param contentLength The header of that name. A body that it declares too large is not kept at all.
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
    // The host's stream keeps its listeners, and they would keep the chunks.
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
    /** Returns whether more chunks are wanted: not after the body has failed. */
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
      finish(ABORTED);
    },
    fail(failure: BodyFailure) {
      finish(failure);
    },
  };
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = chunks;
  // A single chunk needs no copy.
  if (chunks.length === 1 && first !== undefined) return first;
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

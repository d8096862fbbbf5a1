import { failureOf, gather, toBytes } from "../body.js";
import type { BodyFailure } from "../delivery.js";
import type { MaybePromise } from "../values/maybe-promise.js";

const ABORTED: BodyFailure = { code: "BODY_ABORTED" };

/** The part of Node's `Readable` that adapters use. */
export interface NodeStream {
  readonly destroyed: boolean;
  /**
   * Whether the sender cut the request off. In HTTP/2 such a request is not `destroyed`, and it ends like a
   * complete one.
   */
  readonly aborted?: boolean;
  readonly readableDidRead: boolean;
  readonly readableEnded: boolean;
  readonly readableEncoding: string | null;
  readonly readableLength: number;
  /** Whether the stream gives its chunks to listeners by itself. */
  readonly readableFlowing: boolean | null;
  listenerCount(event: string): number;
  on(event: "data", listener: (chunk: Uint8Array | string) => void): unknown;
  on(event: string, listener: (error?: unknown) => void): unknown;
  resume(): unknown;
}

/** The body as body parsers and hooks leave it. Read more than once: a parser may still be adding to it. */
export interface ParsedBody {
  /** Read in place of the request itself. */
  readonly stream?: NodeStream;
  readonly rawBody?: unknown;
  readonly body?: unknown;
}

/**
 * Returns the exact bytes of a body. `rawBody` comes first, then the stream if nothing has read it,
 * then a `body` of bytes or text. While other code reads the stream, waits for its end and takes the
 * `rawBody` that this code leaves. Returns `unavailable` if none of them has the bytes: serializing a
 * parsed body gives other bytes.
 */
export function readNodeBody(
  request: NodeStream & { readonly headers: { readonly "content-length"?: string | undefined } },
  parsed: ParsedBody,
  limit: number,
  unavailable: BodyFailure,
): MaybePromise<Uint8Array | BodyFailure> {
  const { stream = request } = parsed;
  const isCut = () => Boolean(request.aborted || stream.aborted);
  if (isCut()) return ABORTED;
  if (isBeingRead(stream, parsed.rawBody))
    return afterOthers(stream, () => (isCut() ? ABORTED : (keptBytes(parsed) ?? unavailable)));
  const raw = toBytes(parsed.rawBody);
  // An empty rawBody may be waiting for the stream's chunks. An unread stream still has them all.
  if (raw && (raw.length > 0 || stream.readableDidRead)) return raw;
  if (isUnread(stream)) {
    return readStream(stream, isCut, limit, request.headers["content-length"], unavailable);
  }
  // Last, because some hosts have a getter here that parses and throws.
  return toBytes(parsed.body) ?? unavailable;
}

function keptBytes(parsed: ParsedBody): Uint8Array | undefined {
  return toBytes(parsed.rawBody) ?? toBytes(parsed.body);
}

/** Whether other code has taken chunks of a stream and goes on to its end. */
function isBeingRead(stream: NodeStream, raw: unknown): boolean {
  const { readableDidRead, readableEnded, readableFlowing } = stream;
  if (!readableDidRead || readableEnded || stream.destroyed) return false;
  // Text in rawBody may have its chunks appended by code that pauses the stream between two of them.
  return readableFlowing === true || stream.listenerCount("readable") > 0 || typeof raw === "string";
}

/** Whether every byte of a stream is still to come. */
function isUnread({ readableDidRead, readableEnded, readableEncoding }: NodeStream): boolean {
  if (readableDidRead || readableEnded) return false;
  return readableEncoding === null || /^utf-?8$/i.test(readableEncoding);
}

/** Waits until other code has read a stream to its end, then takes the bytes that this code has kept. */
function afterOthers(
  stream: NodeStream,
  take: () => Uint8Array | BodyFailure,
): Promise<Uint8Array | BodyFailure> {
  return new Promise((resolve) => {
    const done = (result: Uint8Array | BodyFailure) => {
      stopWatching();
      resolve(result);
    };
    const stopWatching = watchOthers(stream, () => done(take()));
    // A loop over the stream reaches its end, and keeps the bytes, some promises later.
    stream.on("end", () => setTimeout(() => done(take()), 0));
    stream.on("error", (error) => done(failureOf(error)));
    stream.on("close", () => stream.readableEnded || done(ABORTED));
  });
}

function readStream(
  stream: NodeStream,
  isCut: () => boolean,
  limit: number,
  contentLength: string | undefined,
  unavailable: BodyFailure,
): MaybePromise<Uint8Array | BodyFailure> {
  if (stream.destroyed) return ABORTED;
  const { body, push, end, abort, fail } = gather(limit, contentLength);
  const isShared = stream.listenerCount("data") + stream.listenerCount("readable") > 0;
  stream.on("data", push);
  stream.on("end", () => (isCut() ? abort() : end()));
  stream.on("close", abort);
  stream.on("error", (error) => fail(failureOf(error)));
  if (isShared) void body.then(watchOthers(stream, () => fail(unavailable)));
  // Other code may have paused the stream.
  stream.resume();
  return body;
}

/** How long other code may take between two chunks of a stream. */
const PAUSE_MS = 30_000;

/**
 * Calls `onStop` if other code, which decides when a stream goes on, does not read it to its end. Returns
 * a function that ends the watch.
 */
function watchOthers(stream: NodeStream, onStop: () => void): () => void {
  let watching = true;
  let pause = setTimeout(onStop, PAUSE_MS);
  let idle: typeof pause | undefined;
  stream.on("data", () => {
    clearTimeout(pause);
    if (watching) pause = setTimeout(onStop, PAUSE_MS);
  });
  // With a "readable" listener a stream gives chunks only to `read()`. Some listeners never call it.
  const checkIdle = () => {
    clearTimeout(idle);
    if (watching)
      idle = setTimeout(() => stream.readableDidRead || stream.readableLength === 0 || onStop(), 0);
  };
  if (stream.listenerCount("readable") > 0) {
    stream.on("readable", checkIdle);
    checkIdle();
  }
  return () => {
    watching = false;
    clearTimeout(pause);
    clearTimeout(idle);
  };
}

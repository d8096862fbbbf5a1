import { gather, toBytes } from "../body.js";
import type { BodyFailure } from "../delivery.js";
import type { MaybePromise } from "../values/maybe-promise.js";

/** The part of Node's `Readable` that adapters use. */
export interface NodeStream {
  readonly destroyed: boolean;
  readonly readableDidRead: boolean;
  readonly readableEnded: boolean;
  readonly readableEncoding: string | null;
  listenerCount(event: string): number;
  on(event: "data", listener: (chunk: Uint8Array | string) => void): unknown;
  on(event: string, listener: () => void): unknown;
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
 * then a `body` of bytes or text. Returns `unavailable` if none of them has the bytes: a stream that
 * something else reads would never end here, and serializing a parsed body gives other bytes.
 */
export function readNodeBody(
  request: NodeStream & { readonly headers: { readonly "content-length"?: string | undefined } },
  parsed: ParsedBody,
  limit: number,
  unavailable: BodyFailure,
): MaybePromise<Uint8Array | BodyFailure> {
  const { stream = request } = parsed;
  const raw = toBytes(parsed.rawBody);
  if (raw && typeof parsed.rawBody === "string" && stream.readableDidRead && !stream.readableEnded) {
    // Something still appends chunks to this text. It is complete when the stream ends.
    return new Promise((resolve) => {
      stream.on("end", () => resolve(toBytes(parsed.rawBody) ?? unavailable));
      stream.on("close", () => resolve({ code: "BODY_ABORTED" }));
    });
  }
  // An empty rawBody may be waiting for the stream's chunks. An unread stream still has them all.
  if (raw && (raw.length > 0 || stream.readableDidRead)) return raw;
  if (isUnread(stream)) return readStream(stream, limit, request.headers["content-length"]);
  // Last, because some hosts have a getter here that parses and throws.
  return toBytes(parsed.body) ?? unavailable;
}

/** Whether every byte of a stream is still to come, and nothing else will take them. */
function isUnread(stream: NodeStream): boolean {
  const { readableDidRead, readableEnded, readableEncoding } = stream;
  if (readableDidRead || readableEnded || stream.listenerCount("readable") > 0) return false;
  return readableEncoding === null || /^utf-?8$/i.test(readableEncoding);
}

function readStream(
  stream: NodeStream,
  limit: number,
  contentLength: string | undefined,
): MaybePromise<Uint8Array | BodyFailure> {
  if (stream.destroyed) return { code: "BODY_ABORTED" };
  const { body, push, end, abort } = gather(limit, contentLength);
  stream.on("data", push);
  stream.on("end", end);
  stream.on("close", abort);
  stream.on("error", abort);
  // Other code may have paused the stream.
  stream.resume();
  return body;
}

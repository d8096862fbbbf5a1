import type { IncomingMessage, ServerResponse } from "node:http";

/** A request that cannot be answered. The message says why, and holds no secret. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status = 400,
  ) {
    super(message);
  }
}

/** Nothing comes from elsewhere, runs inline, is framed or is kept. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

export function respond(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  const bytes = Buffer.from(body as string);
  response.writeHead(status, {
    ...HEADERS,
    ...headers,
    "content-type": type,
    "content-length": String(bytes.byteLength),
  });
  response.end(bytes);
}

export function respondJson(response: ServerResponse, value: unknown, status = 200): void {
  respond(response, status, "application/json", JSON.stringify(value));
}

/** Answers with bytes of a sender, which a browser must save and never show as a page. */
export function respondBytes(response: ServerResponse, bytes: Uint8Array): void {
  respond(response, 200, "application/octet-stream", bytes, { "content-disposition": "attachment" });
}

/** Begins an answer that has no end. */
export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream", "x-accel-buffering": "no" });
}

const REQUEST_MAX = 16 * 1024 * 1024;

/** @throws RequestError for a body that is not an object in JSON. */
export async function readJson(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? ""))
    throw new RequestError("The body must be application/json.", 415);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > REQUEST_MAX) throw new RequestError("The body is too large.", 413);
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as never;
  } catch {
    // Answered below.
  }
  throw new RequestError("The body must be a JSON object.");
}

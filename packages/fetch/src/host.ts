import type { NodeResponse } from "@crowdhook/core/adapter";

/** An object with the request, as SvelteKit, Astro, React Router and h3 hand it to their handlers. */
export type RequestHolder = { readonly request: Request } | { readonly req: Request };

/** A Worker's context, a FetchEvent, or anything else that can keep the host alive. */
interface Waiting {
  waitUntil(work: Promise<unknown>): void;
}

type Fields = Readonly<Record<string, unknown>>;

/** Returns a field, `undefined` for anything without it. Hosts have getters that throw. */
function field(value: unknown, name: string): unknown {
  try {
    return (value as Fields | null | undefined)?.[name];
  } catch {
    return undefined;
  }
}

/** Checks the methods, because hosts have Request classes of their own. */
function isRequest(value: unknown): value is Request {
  return (
    typeof field(value, "method") === "string" &&
    typeof field(value, "arrayBuffer") === "function" &&
    typeof field(field(value, "headers"), "get") === "function"
  );
}

/** Returns the request in the first argument of a host: itself, `request`, or h3's `req` or `web.request`. */
export function requestIn(input: unknown): Request | undefined {
  const held = [input, field(input, "request"), field(input, "req"), field(field(input, "web"), "request")];
  return held.find(isRequest);
}

/** Names the mistake in a first argument that has no request, and the fix. */
export function explainInput(input: unknown): string {
  if (isRequest(field(field(input, "req"), "raw"))) {
    return "the webhook got a Hono context. Pass its request: app.post(path, (context) => webhook(context.req.raw)).";
  }
  if (isNodeRequest(input)) {
    return "the webhook got a Node request. Take the webhook of @crowdhook/node, or of @crowdhook/express in Express.";
  }
  if (isNodeRequest(field(field(input, "node"), "req"))) {
    return "the webhook got an h3 event. Pass its request: webhook(toWebRequest(event)).";
  }
  if (isNodeRequest(field(input, "req"))) {
    return "the webhook got a Koa context. Take the webhook of @crowdhook/koa.";
  }
  if (isNodeRequest(field(input, "raw"))) {
    return "the webhook got a Fastify request. Take the webhook of @crowdhook/fastify.";
  }
  const type = input === null ? "null" : typeof input;
  return `the webhook got no Request but a value of the type ${type}. Pass the Request, or an object that has it as request.`;
}

function isNodeRequest(value: unknown): boolean {
  return typeof field(value, "httpVersion") === "string" && typeof field(value, "on") === "function";
}

/** Returns the Node response that a host without fetch passes as its second argument. */
export function nodeResponseIn(value: unknown): NodeResponse | undefined {
  const isResponse =
    typeof field(value, "writeHead") === "function" && typeof field(value, "destroy") === "function";
  return isResponse ? (value as NodeResponse) : undefined;
}

/** Where hosts on Workers keep their context in what they hand over. */
const CONTEXT_FIELDS = [
  "platform",
  "locals",
  "context",
  "ctx",
  "runtime",
  "cloudflare",
  "cfContext",
  "netlify",
];

/** Keeps the host alive until the response is there, through each argument that can do that. */
export function waitUntil(args: readonly unknown[], response: Promise<unknown>): void {
  for (const arg of args) if (canWait(arg)) arg.waitUntil(response);
  const [input] = args;
  if (isRequest(input) || canWait(input)) return;
  // SvelteKit: platform.ctx. Astro: locals.runtime.ctx, locals.cfContext. React Router: context.cloudflare.ctx.
  contextIn(input, 3)?.waitUntil(response);
}

function contextIn(value: unknown, depth: number): Waiting | undefined {
  if (canWait(value)) return value;
  if (depth === 0 || typeof value !== "object") return undefined;
  for (const name of CONTEXT_FIELDS) {
    const found = contextIn(field(value, name), depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function canWait(value: unknown): value is Waiting {
  return typeof field(value, "waitUntil") === "function";
}

import type { BodyFailure, EventMap, IncomingDelivery, Provider } from "@crowdhook/core";
import {
  failureOf,
  gather,
  mount,
  notFound,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
  writeNodeReply,
} from "@crowdhook/core/adapter";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import { explainInput, nodeResponseIn, type RequestHolder, requestIn, waitUntil } from "./host.js";
import { watchMemory } from "./memory.js";

export * from "@crowdhook/core/app";

/** A fetch-style handler: takes a `Request`, returns a `Response`. Never rejects. */
export interface FetchWebhook<Events extends EventMap> extends Webhook<Events> {
  /** @param event An object that holds the request, as in SvelteKit, Astro and React Router. */
  (event: RequestHolder, ...host: readonly unknown[]): Promise<Response>;
  /**
   * @param host Everything else that the host passes to its handlers. The handler calls `waitUntil` of
   *   each argument that has it: otherwise a Worker stops in the middle of a listener when the sender
   *   hangs up.
   */
  // Last, because tools such as Next.js take the type of the argument from here.
  (request: Request, ...host: readonly unknown[]): Promise<Response>;
}

const HINT =
  "something read the request before the webhook. Pass the request before anything calls its json() or text(), or pass a clone.";

const FORGETS =
  "the app makes a webhook for each request. Such a webhook remembers no event, so duplicates run again. Make the webhook once, outside the request or at the first one, or pass claims that are outside the process.";

const UNAVAILABLE: BodyFailure = { code: "BODY_UNAVAILABLE", hint: HINT };

/**
 * Receives the webhooks of any provider in a fetch-style handler. The host routes: the webhook checks
 * the path only if `path` is given, and then answers other paths with 404. With an undefined secret,
 * deliveries get 503 until it is set: builds run without secrets.
 *
 * @param source A secret, a list of secrets, a function that returns either, or a ready receiver.
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): FetchWebhook<Events> {
  const secret = options?.unsigned ? source : judgedLater(source);
  const { mounted, answers, reportMiss, warn, refuse } = mount(provider, secret, options);
  const { handle } = mounted.receiver;
  const isOwn = mounted.receiver !== source;
  const noteDelivery =
    isOwn && !options?.claims && !options?.sink
      ? watchMemory(provider.name, () => warn("claims", FORGETS))
      : undefined;
  const [signatureHeader] = provider.signatureFormat.headers;
  const replyTo = async (request: Request) => {
    if (options?.path === undefined || answers(request.url)) {
      noteDelivery?.(request.headers.get(signatureHeader) ?? "");
      return handle(new FetchDelivery(request));
    }
    reportMiss(request.headers, request.url);
    return notFound();
  };
  const respond = async (input: unknown, response: unknown) => {
    const request = requestIn(input);
    const reply = request ? await replyTo(request) : refuse("INTERNAL_ERROR", explainInput(input));
    const nodeResponse = request ? undefined : nodeResponseIn(response);
    // A host that passes Node's objects ignores what is returned, and its client would wait.
    if (nodeResponse) writeNodeReply(nodeResponse, reply);
    return new Response(reply.body, { status: reply.status, headers: reply.headers });
  };
  const handler = async (...args: readonly unknown[]) => {
    const response = respond(args[0], args[1]);
    waitUntil(args, response);
    return response;
  };
  return Object.assign(handler, mounted);
}

/**
 * Builds import the app where no secret is set. An undefined secret becomes a function, so that the first
 * delivery is answered with 503, and the log names the variable.
 */
function judgedLater<Events extends EventMap>(source: WebhookSource<Events>): WebhookSource<Events> {
  const isMissing = source === undefined || (Array.isArray(source) && source.includes(undefined));
  return isMissing ? () => source as undefined : source;
}

/** A class, so that all deliveries share its getter. The getter makes a signal only if a listener asks. */
class FetchDelivery implements IncomingDelivery {
  readonly method: string;
  readonly headers: Headers;
  readonly body: (limit: number) => ReturnType<typeof readBody>;
  readonly #request: Request;

  constructor(request: Request) {
    this.method = request.method;
    this.headers = request.headers;
    this.body = (limit) => readBody(request, limit);
    this.#request = request;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }
}

async function readBody(request: Request, limit: number): Promise<Uint8Array | BodyFailure> {
  // The app may clone the request right after it called the handler.
  await undefined;
  if (request.bodyUsed) return UNAVAILABLE;
  const length = request.headers.get("content-length");
  if (isWithin(limit, length) && !request.headers.has("transfer-encoding")) return readWhole(request);
  if (request.body === null) return new Uint8Array();
  // Some hosts have requests without a stream.
  if (request.body === undefined) return readWhole(request);
  if (request.body.locked) return UNAVAILABLE;
  const gathered = gather(limit, length);
  // Not awaited: after a refusal it reads on, so that the sender can finish and read the answer.
  void pump(request.body.getReader(), gathered);
  return gathered.body;
}

/** Whether a Content-Length is a number within the limit. Hosts enforce that a body is no longer. */
function isWithin(limit: number, length: string | null): boolean {
  return length !== null && /^\d+$/.test(length) && Number(length) <= limit;
}

/** Reads the body in one call, which takes hosts a fraction of the time that its stream takes. */
async function readWhole(request: Request): Promise<Uint8Array | BodyFailure> {
  try {
    return new Uint8Array(await request.arrayBuffer());
  } catch (error) {
    // The fetch standard prescribes a TypeError if something else reads the body.
    return (error as Partial<Error> | undefined)?.name === "TypeError" ? UNAVAILABLE : failureOf(error);
  }
}

async function pump(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  gathered: ReturnType<typeof gather>,
): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return gathered.end();
      if (!gathered.push(value)) await reader.cancel();
    }
  } catch (error) {
    gathered.fail(failureOf(error));
  }
}

function webhookFor<Events extends EventMap>(provider: Provider<Events>) {
  return (source: WebhookSource<Events>, options?: WebhookOptions<Events>) =>
    webhook(provider, source, options);
}

/**
 * Receives Toloka's webhooks in a fetch-style handler (Next.js, Hono, Workers, Deno, Bun). The host
 * routes: the webhook checks the path only if `path` is given, and then answers other paths with 404.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhookFor(toloka);

/**
 * Receives Prolific's webhooks in a fetch-style handler (Next.js, Hono, Workers, Deno, Bun). The host
 * routes: the webhook checks the path only if `path` is given, and then answers other paths with 404.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const prolificWebhook = /* @__PURE__ */ webhookFor(prolific);

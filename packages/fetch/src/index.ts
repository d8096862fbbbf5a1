import type { BodyFailure, EventMap, IncomingDelivery, Provider } from "@crowdhook/core";
import {
  gather,
  mount,
  notFound,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
} from "@crowdhook/core/adapter";
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";

/** A fetch-style handler: `Request` in, `Response` out. Never rejects. */
export interface FetchWebhook<Events extends EventMap> extends Webhook<Events> {
  /**
   * @param host What else the host hands to its handlers. What has a `waitUntil` is told to wait for
   *   the response: a Worker is stopped in the middle of a listener otherwise when its sender hangs up.
   */
  (request: Request, ...host: readonly unknown[]): Promise<Response>;
}

/** A Worker's context, a FetchEvent, and the like. */
interface Host {
  waitUntil(work: Promise<unknown>): void;
}

const HINT =
  "something read the request before the webhook. Hand over the request itself, before anything calls its json() or text(), or hand over a clone.";

const GONE: BodyFailure = { code: "BODY_UNAVAILABLE", hint: HINT };

function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): FetchWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;
  const respond = async (request: Request) => {
    const elsewhere = options?.path !== undefined && !answers(request.url);
    const reply = elsewhere ? notFound() : await handle(new FetchDelivery(request));
    return new Response(reply.body, { status: reply.status, headers: reply.headers });
  };
  const handler = async (request: Request, ...host: readonly unknown[]) => {
    const response = respond(request);
    for (const each of host) if (canWait(each)) each.waitUntil(response);
    return response;
  };
  return Object.assign(handler, mounted);
}

/** A class, so that its getter, which spares making a signal that nobody asks for, is one for all. */
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

function canWait(host: unknown): host is Host {
  return typeof (host as Partial<Host> | null | undefined)?.waitUntil === "function";
}

function readBody(
  request: Request,
  limit: number,
): Uint8Array | BodyFailure | Promise<Uint8Array | BodyFailure> {
  if (request.bodyUsed) return GONE;
  const length = request.headers.get("content-length");
  if (isWithin(limit, length) && !request.headers.has("transfer-encoding")) return readWhole(request);
  if (request.body === null) return new Uint8Array();
  if (request.body.locked) return GONE;
  const gathered = gather(limit, length);
  // Goes on after the body is given up, so that the sender can finish and read the answer.
  void pump(request.body.getReader(), gathered);
  return gathered.body;
}

/** Whether a Content-Length is one, and within the limit. HTTP holds a body to it. */
function isWithin(limit: number, length: string | null): boolean {
  return length !== null && /^\d+$/.test(length) && Number(length) <= limit;
}

/** At once: hosts have ways for that which take a fraction of the time of a body's stream. */
async function readWhole(request: Request): Promise<Uint8Array | BodyFailure> {
  try {
    return new Uint8Array(await request.arrayBuffer());
  } catch (error) {
    // So the standard has it where something else has read the body, or is about to.
    return (error as Partial<Error> | undefined)?.name === "TypeError" ? GONE : { code: "BODY_ABORTED" };
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
  } catch {
    gathered.abort();
  }
}

/**
 * Receives Toloka's webhooks wherever a `Request` is answered with a `Response`. The host routes:
 * the path is checked only if `path` is given, and then other paths get 404.
 *
 * @throws TypeError for arguments that cannot work; the message names the mistake and the fix.
 */
export function tolokaWebhook(
  source: WebhookSource<TolokaEvents>,
  options?: WebhookOptions<TolokaEvents>,
): FetchWebhook<TolokaEvents> {
  return webhook(toloka, source, options);
}

/** Receives Prolific's webhooks wherever a `Request` is answered with a `Response`; as `tolokaWebhook`. */
export function prolificWebhook(
  source: WebhookSource<ProlificEvents>,
  options?: WebhookOptions<ProlificEvents>,
): FetchWebhook<ProlificEvents> {
  return webhook(prolific, source, options);
}

import type http from "node:http";
import { createReceiver, type DeliveryHeaders, type Provider, type Receiver } from "@crowdhook/core";
import { gather, writeNodeReply } from "@crowdhook/core/adapter";
import { findMistakes, inspect } from "@crowdhook/core/inspect";
import { headersOf, type StoredDelivery } from "@crowdhook/core/internal";
import { linesOf } from "../http/exchange.js";
import { PROVIDERS, providerNamed, providerOf } from "../providers.js";
import { causeOf, save, saveAnswer } from "../stored.js";
import { answeredOf } from "./answered.js";
import { type Forwarder, passBack } from "./forward.js";
import type { HandledRequest } from "./handled.js";
import type { ListenOptions, Secrets } from "./options.js";

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => Promise<HandledRequest>;

/** The default limit of a receiver. */
const BODY_MAX = 5 * 1024 * 1024;
/** A body from a stranger must not keep the command busy. */
const EFFORT = { parsed: 1024 * 1024 };

export function createHandler(
  secrets: Secrets,
  forwarder: Forwarder | undefined,
  options: ListenOptions,
): Handler {
  const receiverOf = createReceivers(secrets, options.tolerance);

  return async function handle(request, response) {
    const receivedAt = new Date();
    const { method = "", rawHeaders, url = "/" } = request;
    const path = url.startsWith("/") ? url : "/";
    const lines = linesOf(rawHeaders);
    const headers = headersOf(lines);
    const body = await readBody(request);
    const handled: HandledRequest = { receivedAt, method, path, headers: lines, secrets: 0 };
    if (!(body instanceof Uint8Array)) {
      handled.unread = body.code;
      handled.reply = await receiverOf(undefined).handle({ method, headers, body: () => body });
      writeNodeReply(response, handled.reply);
      return handled;
    }
    handled.bytes = body.byteLength;
    handled.body = body;
    const delivery: StoredDelivery = { receivedAt, method, path, headers: lines, body };
    // First, so that every delivery that was received can be replayed, whatever is in it.
    if (options.save !== undefined) await saveDelivery(handled, delivery, options.save);
    const provider = providerNamed(options.provider) ?? providerOf(headers, body);
    if (forwarder) {
      handled.forwarded = await forwarder.forward(delivery);
      passBack(response, handled.forwarded);
    } else {
      handled.reply = await receiverOf(provider).handle({ method, headers, body });
      writeNodeReply(response, handled.reply);
    }
    // Last, because the provider waits for the answer and not for the report.
    if (provider) await inspectDelivery(handled, provider, { headers, body }, secrets, options);
    // A delivery whose answer cannot be saved is still saved.
    if (handled.file)
      await saveAnswer(handled.file, { ...delivery, answered: answeredOf(handled) }).catch(() => {});
    return handled;
  };
}

/** Returns what there is to report about a delivery that an earlier process has answered. */
export async function inspectStored(
  { receivedAt, method, path, headers: lines, body }: StoredDelivery,
  file: string,
  secrets: Secrets,
  options: ListenOptions,
): Promise<HandledRequest> {
  const handled: HandledRequest = {
    receivedAt,
    method,
    path,
    headers: lines,
    bytes: body.byteLength,
    body,
    secrets: 0,
    file,
  };
  const headers = headersOf(lines);
  const provider = providerNamed(options.provider) ?? providerOf(headers, body);
  if (provider) await inspectDelivery(handled, provider, { headers, body }, secrets, options);
  return handled;
}

/** The report of each delivery says the same, and log lines would stand in between. */
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Returns the receiver of a provider; for an unknown provider one that refuses the delivery, if there is one. */
function createReceivers(secrets: Secrets, tolerance: number): (provider: Provider | undefined) => Receiver {
  const receivers = new Map(
    PROVIDERS.map((provider) => {
      const { length } = secrets.get(provider) ?? [];
      const source = length > 0 ? { secret: secrets.get(provider) } : { unsigned: true };
      const receiver = createReceiver(provider, {
        ...source,
        tolerance,
        maxBodySize: BODY_MAX,
        logger: SILENT,
      });
      // With this listener, no event is ignored, and a copy is a duplicate.
      receiver.onAny(() => {});
      // Without this listener, an event that does not fit its type would fail.
      receiver.onUnrecognized(() => {});
      return [provider, receiver];
    }),
  );
  const withSecrets = PROVIDERS.find((provider) => secrets.get(provider)?.length);
  return (provider) => {
    const receiver = receivers.get(provider ?? withSecrets ?? (PROVIDERS[0] as Provider));
    return receiver as Receiver;
  };
}

function readBody(request: http.IncomingMessage) {
  const { body, push, end, abort } = gather(BODY_MAX, request.headers["content-length"]);
  request.on("data", push).on("end", end).on("close", abort).on("error", abort);
  return body;
}

async function inspectDelivery(
  handled: HandledRequest,
  provider: Provider,
  delivery: { readonly headers: DeliveryHeaders; readonly body: Uint8Array },
  allSecrets: Secrets,
  { tolerance }: ListenOptions,
): Promise<void> {
  const secrets = allSecrets.get(provider) ?? [];
  const now = handled.receivedAt.getTime();
  handled.provider = provider;
  handled.secrets = secrets.length;
  try {
    handled.inspection = await inspect(provider, delivery, { secrets, tolerance, now });
    if (secrets.length === 0 || !handled.inspection.code) return;
    const others = PROVIDERS.filter((other) => other !== provider);
    const otherSecrets = others.flatMap((other) => allSecrets.get(other) ?? []);
    const suspect = { ...delivery, secrets, otherSecrets };
    const mistakes = await findMistakes(provider, others, suspect, EFFORT);
    handled.mistakes = mistakes.filter(({ found }) => found);
  } catch (error) {
    // A body from a stranger must not end the command.
    handled.notInspected = String(error);
  }
}

async function saveDelivery(
  handled: HandledRequest,
  delivery: StoredDelivery,
  folder: string,
): Promise<void> {
  try {
    handled.file = await save(folder, delivery);
  } catch (error) {
    handled.notSaved = causeOf(error);
  }
}

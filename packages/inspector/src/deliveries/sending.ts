import { headersOf, signAgain } from "@crowdhook/core/internal";
import { type HeaderLines, type Sender, type SentEvent, signDelivery } from "@crowdhook/core/testing";
import { RequestError } from "../http/respond.js";
import type { Captured, OutgoingDelivery, Source } from "./captured.js";
import { inspectCaptured, senderOf } from "./details.js";

/** Returns the delivery as it was, or with a new signature. @throws RequestError if it cannot be sent. */
export async function replayOf(
  captured: Captured,
  { sign, body = captured.body }: { readonly sign: boolean; readonly body?: Uint8Array | undefined },
  sources: readonly Source[],
): Promise<OutgoingDelivery> {
  const { method, headers, source } = captured;
  if (source === undefined || body === undefined)
    throw new RequestError("This delivery cannot be sent again.");
  const outgoing = { method, path: pathFor(captured, source), headers, body };
  return sign ? { ...outgoing, headers: await signed(outgoing, captured, sources) } : outgoing;
}

/** Returns a delivery of the same events under new ids. @throws RequestError if it cannot be made. */
export async function newEventsOf(captured: Captured, sources: readonly Source[]): Promise<OutgoingDelivery> {
  const { source } = captured;
  const sender = source && senderOf(source);
  const inspected = await inspectCaptured(captured, sources);
  if (source === undefined || sender === undefined || inspected === undefined)
    throw new RequestError("This provider's deliveries cannot be written here.");
  const events = inspected.inspection.events.map(({ type, id, data }) => {
    // The sample brings a new id, so the field of the old one must not replace it.
    const fields = Object.entries(data as Record<string, unknown>).filter(([, value]) => value !== id);
    return sender.sample(type, Object.fromEntries(fields));
  });
  return compose(sender, events, await firstSecret(source), pathFor(captured, source));
}

/** Returns a delivery of one event with these fields. @throws RequestError if it cannot be made. */
export async function eventOf(
  source: Source,
  type: string,
  fields: Readonly<Record<string, unknown>>,
): Promise<OutgoingDelivery> {
  const sender = senderOf(source);
  if (sender === undefined) throw new RequestError("This provider's deliveries cannot be written here.");
  const event = sender.sample(type, fields);
  return compose(sender, [event], await firstSecret(source), source.provider.defaultPath);
}

function compose(
  sender: Sender,
  events: readonly SentEvent[],
  secret: string,
  path: string,
): OutgoingDelivery {
  const { method, headers, body } = signDelivery(sender, { secret, events });
  return { method, path, headers: Object.entries(headers), body: Buffer.from(body) };
}

function pathFor({ path }: Captured, { provider }: Source): string {
  return path ?? provider.defaultPath;
}

/** An unsigned receiver ignores the signature, so any secret will do for it. */
async function firstSecret(source: Source): Promise<string> {
  const delivery = { method: "POST", headers: headersOf([]), body: new Uint8Array() };
  const [secret] = await source.secretsFor(delivery).catch(() => {
    throw new RequestError("The secret is not available without a delivery. Edit a stored delivery instead.");
  });
  return secret ?? "unsigned";
}

/** Returns the headers with a new signature by the secret that signed the delivery, or by the first one. */
async function signed(
  { headers, body }: OutgoingDelivery,
  captured: Captured,
  sources: readonly Source[],
): Promise<HeaderLines> {
  const { source } = captured;
  const sender = source && senderOf(source);
  const delivery = { method: captured.method, headers: headersOf(headers), body: captured.body ?? body };
  const secrets = (await source?.secretsFor(delivery)) ?? [];
  const inspected = await inspectCaptured(captured, sources);
  const secret = secrets[inspected?.inspection.secret ?? 0];
  if (sender === undefined || secret === undefined)
    throw new RequestError("This delivery cannot be signed: there is no secret for it.");
  return signAgain(sender, secret, { headers, body, id: captured.events[0]?.id ?? "" });
}

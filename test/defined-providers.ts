import { defineProvider, type EnvelopeDefinition, type SignatureDefinition } from "@crowdhook/core";
import { createSender, SENDERS, type Sender } from "@crowdhook/core/testing";

interface Item {
  readonly name: string;
}

/** Accepts any object. */
const ITEM = {
  "~standard": { version: 1, vendor: "test", validate: () => ({}) },
} as const;

interface Scheme {
  readonly name: string;
  readonly signature: SignatureDefinition;
  readonly envelope: EnvelopeDefinition;
  readonly sample?: Readonly<Record<string, unknown>>;
}

function senderOf({ name, signature, envelope, sample = { item: { name: "one" } } }: Scheme): Sender {
  const provider = defineProvider<{ "item.created": Item; "item.deleted": Item }>({
    name,
    signature,
    envelope,
    events: { "item.created": ITEM, "item.deleted": ITEM },
  });
  const samples = { "item.created": sample, "item.deleted": sample };
  return createSender(provider, { samples }) as unknown as Sender;
}

/** One made-up provider for each kind of scheme that a definition can describe. */
export const DEFINED: readonly Sender[] = [
  senderOf({
    name: "several-and-signed-id",
    signature: {
      header: ["labels-signature", "other-signature"],
      encoding: "base64",
      prefix: "v1,",
      separator: " ",
      id: { header: ["labels-id", "other-id"] },
      timestamp: { header: ["labels-time", "other-time"], unit: "seconds" },
      signs: "{id}.{timestamp}.{body}",
      secret: { prefix: "whsec_", encoding: "base64" },
    },
    envelope: {
      type: "type",
      id: { header: ["labels-id", "other-id"] },
      time: { from: "signature" },
      data: "data",
    },
    sample: { data: { item: 1 } },
  }),
  senderOf({
    name: "several-and-time-in-header",
    signature: {
      header: "Payments-Signature",
      encoding: "hex",
      prefix: "v1=",
      separator: ",",
      timestamp: { prefix: "t=", unit: "milliseconds" },
      signs: "{timestamp}.{body}",
    },
    envelope: { type: "type", id: "meta.id" },
  }),
  senderOf({
    name: "id-from-signature",
    signature: { header: "X-Hub-Signature-256", encoding: "hex", prefix: "sha256=", signs: "{body}" },
    envelope: { type: "event", id: { from: "signature" } },
  }),
  senderOf({
    name: "id-from-signature-with-time",
    signature: {
      header: "X-Tagger-Signature",
      algorithm: "sha1",
      encoding: "base64",
      timestamp: { header: "X-Tagger-Time", unit: "seconds" },
      signs: "{timestamp}{body}",
      secret: { encoding: "hex" },
    },
    envelope: { type: "event", id: { from: "signature" }, time: { field: "sent_at", format: "iso8601" } },
  }),
  senderOf({
    name: "unsigned-id-and-no-time",
    signature: { header: "X-Forms-Signature", algorithm: "sha1", encoding: "hex", signs: "{body}" },
    envelope: { type: "type", id: { header: "X-Forms-Id" } },
  }),
  senderOf({
    name: "many-events",
    signature: { header: "X-Batch-Signature", algorithm: "sha1", encoding: "base64", signs: "{body}" },
    envelope: { events: "items", type: "kind", id: "key", time: { field: "at", format: "seconds" } },
  }),
];

/** Returns a secret in the form that the provider's definition asks for. The text is its key. */
export function secretOf({ provider: { definition } }: Sender, text: string): string {
  const signature = definition?.signature;
  const format = signature !== undefined && "secret" in signature ? signature.secret : undefined;
  return format ? `${format.prefix ?? ""}${Buffer.from(text).toString(format.encoding)}` : text;
}

/** Returns two secrets in the form that the provider's definition asks for. */
export function secretsOf(sender: Sender): readonly [string, string] {
  return [secretOf(sender, "s3cret-one"), secretOf(sender, "s3cret-two")];
}

/** @param senders Default: those of core. */
export function senderNamed(name: string, senders: readonly Sender[] = SENDERS): Sender {
  const sender = senders.find(({ provider }) => provider.name === name);
  if (sender === undefined) throw new Error(`There is no provider ${name}.`);
  return sender;
}

import { createHmac } from "node:crypto";
import type { Provider } from "@crowdhook/core";
import type { Outgoing } from "./request.js";

export interface ToyEvents {
  "toy.sold": { readonly id: string; readonly price: number };
  "toy.returned": { readonly id: string; readonly reason: string };
}

type ToyEvent = { [Type in keyof ToyEvents]: ToyEvents[Type] & { readonly type: Type } }[keyof ToyEvents];

/** A provider of an app's own: one event per delivery, and a header `x-toy-signature: <milliseconds>.<hex>`. */
export const toy: Provider<ToyEvents> = {
  name: "toy",
  title: "Toy",
  defaultPath: "/toy-webhook",
  secretVariable: "TOY_SECRET",
  eventTypes: ["toy.sold", "toy.returned"],
  eventsPerDelivery: "one",
  signsEventIds: true,
  signatureFormat: {
    headers: ["X-Toy-Signature"],
    whenMissing: "was the webhook registered with a secret?",
    example: "<milliseconds>.<64 hex digits>",
    complete: /^\d{1,15}\.[0-9a-f]{64}$/,
    timestamp: {
      name: "X-Toy-Signature",
      header: "x-toy-signature",
      pattern: /^(\d+)\./,
      unit: "milliseconds",
    },
    signs: "the time, a dot and the body",
  },
  matches: (headers) => Boolean(headers.get("x-toy-signature")),
  parseSignature(headers) {
    const header = headers.get("x-toy-signature");
    if (!header) return "SIGNATURE_MISSING";
    const [, time = "", digest = ""] = /^(\d{1,15})\.([0-9a-f]{64})$/.exec(header) ?? [];
    if (digest === "") return "SIGNATURE_MALFORMED";
    return { prefix: `${time}.`, digest, timestamp: Number(time) };
  },
  parseEvents(body) {
    const data = body as Partial<ToyEvent> | null;
    if (typeof data?.id !== "string" || typeof data.type !== "string") return undefined;
    const { type, id } = data as ToyEvent;
    const event = { provider: "toy", type, id, occurredAt: new Date(0), data: data as ToyEvent };
    return [event as never];
  },
  subjectOf: () => undefined,
};

/** A signed delivery of the toy provider, addressed to its default path. */
export function signToy(secret: string, event: ToyEvent): Outgoing {
  const body = JSON.stringify(event);
  const time = Date.now();
  const digest = createHmac("sha256", secret).update(`${time}.${body}`).digest("hex");
  return { path: toy.defaultPath, headers: { "x-toy-signature": `${time}.${digest}` }, body };
}

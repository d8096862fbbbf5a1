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
  defaultPath: "/toy-webhook",
  eventTypes: ["toy.sold", "toy.returned"],
  signsEventIds: true,
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

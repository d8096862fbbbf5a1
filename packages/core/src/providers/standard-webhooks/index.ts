import type { EventMap } from "../../event.js";
import type { Provider } from "../../provider.js";
import { defineProvider } from "../defining/define-provider.js";
import type { EnvelopeDefinition, ProviderDefinition, SignatureDefinition } from "../defining/definition.js";

/** How a platform differs from the default of Standard Webhooks. */
export interface StandardWebhooksOptions<Events extends EventMap>
  extends Partial<
    Pick<ProviderDefinition<Events>, "name" | "title" | "defaultPath" | "secretVariable" | "occurrenceOf">
  > {
  /**
   * Where this sender's events differ. Default: the field `type` is the type, and the field `data` is
   * `event.data`. The time of an event is `webhook-timestamp`, when the delivery was sent. `undefined`
   * removes a default: with `{ data: undefined }` the whole body is `event.data`.
   */
  readonly envelope?: { readonly [Part in keyof EnvelopeDefinition]?: EnvelopeDefinition[Part] | undefined };
}

const SIGNATURE: SignatureDefinition = {
  header: ["webhook-signature", "svix-signature"],
  encoding: "base64",
  prefix: "v1,",
  separator: " ",
  id: { header: ["webhook-id", "svix-id"] },
  timestamp: { header: ["webhook-timestamp", "svix-timestamp"], unit: "seconds" },
  signs: "{id}.{timestamp}.{body}",
  secret: { prefix: "whsec_", encoding: "base64" },
};

const ENVELOPE: EnvelopeDefinition = {
  type: "type",
  id: { header: ["webhook-id", "svix-id"] },
  time: { from: "signature" },
  data: "data",
};

/**
 * Makes a provider for a platform that signs by Standard Webhooks, such as Argilla, OpenAI, Replicate and
 * every sender on Svix. Headers are `webhook-…` or `svix-…`; one event per delivery. Asymmetric signatures
 * (`v1a`) are ignored.
 *
 * Source: the specification of Standard Webhooks, "Signature scheme".
 *
 * @param events One schema per event type, of the field `data`. `{}` leaves every type to `onUnrecognized`.
 * @throws TypeError for a schema or an option that cannot work.
 */
export function standardWebhooks<Events extends EventMap>(
  events: ProviderDefinition<Events>["events"],
  { envelope, ...options }: StandardWebhooksOptions<Events> = {},
): Provider<Events> {
  return defineProvider({
    name: "standard-webhooks",
    title: "Standard Webhooks",
    ...options,
    signature: SIGNATURE,
    envelope: withoutUndefined({ ...ENVELOPE, ...envelope }) as EnvelopeDefinition,
    events,
  });
}

function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

export { ARGILLA_EVENTS, type ArgillaEventData } from "./argilla.js";

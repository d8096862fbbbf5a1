import type { DeliveryHeaders } from "../../delivery.js";
import type { EventMap, EventType } from "../../event.js";
import type { Provider } from "../../provider.js";
import type { CustomSignature, ProviderDefinition } from "./definition.js";
import { createEnvelope } from "./envelope.js";
import { namesOf } from "./header-names.js";

/** Makes a provider from a checked definition and the signature that it describes. */
export function assembleProvider<Events extends EventMap>(
  definition: ProviderDefinition<Events>,
  { format, parse, hmac }: CustomSignature,
): Provider<Events> {
  const { name, envelope, events, occurrenceOf } = definition;
  const names = [format.headers, ...(format.aliases ?? [])].flat();
  if (typeof envelope.id === "object" && "header" in envelope.id) names.push(...namesOf(envelope.id.header));
  const ownHeaders = names.map((each) => each.toLowerCase());
  return {
    name,
    title: definition.title ?? `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    defaultPath: definition.defaultPath ?? `/${name}-webhook`,
    secretVariable: definition.secretVariable ?? `${name.toUpperCase().replaceAll("-", "_")}_SECRET`,
    eventTypes: Object.keys(events) as EventType<Events>[],
    eventsPerDelivery: envelope.events === undefined ? "one" : "many",
    signsEventIds: signsEventIds(definition),
    signsEventTypes: typeof envelope.type === "string",
    signatureFormat: format,
    ...(hmac && { hmac }),
    definition,
    matches: (headers: DeliveryHeaders) => ownHeaders.some((each) => Boolean(headers.get(each))),
    parseSignature: parse,
    ...createEnvelope(name, envelope, events, parse),
    ...(occurrenceOf && { occurrenceOf }),
  };
}

/** Returns whether the signature covers the event ids. It covers everything in the body. */
export function signsEventIds({
  signature,
  envelope: { id },
}: Pick<ProviderDefinition, "signature" | "envelope">): boolean {
  if (typeof id === "string" || "from" in id) return true;
  if ("parse" in signature || signature.id === undefined) return false;
  const signed = namesOf(signature.id.header).map((name) => name.toLowerCase());
  return namesOf(id.header).every((name, index) => signed[index] === name.toLowerCase());
}

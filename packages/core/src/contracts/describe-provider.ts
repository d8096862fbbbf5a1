import type { EventMap } from "../event.js";
import type { Provider } from "../provider.js";
import type { ProviderDefinition } from "../providers/defining/definition.js";
import { namesOf } from "../providers/defining/header-names.js";
import { bodySchema, eventSchema, ID, timeAsText, unixTime } from "./event-schema.js";
import { type Draft, type JsonSchema, pointerToken } from "./json-schema.js";

export interface HeaderDescription {
  readonly name: string;
  /** `false` for a header that the provider's software also sends under another name. */
  readonly required: boolean;
  readonly description: string;
  readonly schema: JsonSchema;
}

/** One kind of request. */
interface DeliveryDescription {
  /** A key for maps whose keys have letters, digits, `.`, `_` and `-` only. */
  readonly key: string;
  readonly title: string;
  /** The headers that only this kind has. */
  readonly headers: readonly HeaderDescription[];
  readonly body: JsonSchema;
}

/** A description of a provider, from which each format is written. */
export interface ProviderDescription {
  readonly title: string;
  readonly text: string;
  /** The schemas of the events, which the bodies refer to. */
  readonly schemas: Readonly<Record<string, JsonSchema>>;
  readonly headers: readonly HeaderDescription[];
  /** One per event type, or one for all if a delivery has many events. */
  readonly deliveries: readonly DeliveryDescription[];
  readonly signature: { readonly header: string; readonly description: string };
}

/**
 * @param schemasAt The place of `schemas` in the document, such as `#/$defs`.
 * @throws TypeError for a provider that has no contract.
 */
export function describeProvider<Events extends EventMap>(
  provider: Provider<Events>,
  draft: Draft,
  schemasAt: string,
): ProviderDescription {
  const { name, title, defaultPath, eventTypes, signatureFormat: format } = provider;
  const definition = provider.definition as ProviderDefinition | undefined;
  if (definition === undefined)
    throw new TypeError(`contractOf takes a provider that defineProvider made, unlike ${name}.`);
  const keys = uniqueKeys(eventTypes);
  // The keys of $defs can be the types themselves.
  const keyOf = (type: string) => (schemasAt === "#/$defs" ? type : (keys.get(type) ?? type));
  const reference = (type: string) => `${schemasAt}/${pointerToken(keyOf(type))}`;
  const event = { anyOf: eventTypes.map((type) => ({ $ref: reference(type) })) };
  const typeHeader =
    typeof definition.envelope.type === "object" ? definition.envelope.type.header : undefined;
  const isList = definition.envelope.events !== undefined;
  return {
    title: `Webhooks of ${title}`,
    text: `${title} sends them with POST, to ${defaultPath} unless the app mounts the webhook elsewhere. Objects may have fields that their schemas do not name.`,
    schemas: Object.fromEntries(
      eventTypes.map((type) => [keyOf(type), eventSchema(definition, type, draft, reference(type))]),
    ),
    headers: headersOf(provider, definition),
    deliveries: isList
      ? [{ key: "delivery", title: `Delivery of ${title}`, headers: [], body: bodySchema(definition, event) }]
      : eventTypes.map((type) => ({
          key: keys.get(type) ?? type,
          title: type,
          headers: typeHeader === undefined ? [] : [typeHeaderOf(typeHeader, type)],
          body: { $ref: reference(type) },
        })),
    signature: {
      header: format.headers[0],
      description: [
        `HMAC-${(provider.hmac?.algorithm ?? "sha256").toUpperCase()} over ${format.signs}. A complete header is ${format.example}.`,
        ...(provider.hmac?.secretIs ? [`A secret is ${provider.hmac.secretIs}.`] : []),
      ].join(" "),
    },
  };
}

/** Returns a key for each type. Two types never have the same one. */
function uniqueKeys(types: readonly string[]): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  const taken = new Set<string>();
  for (const type of types) {
    let key = type.replace(/[^\w.-]/g, "_");
    while (taken.has(key)) key += "_";
    taken.add(key);
    keys.set(type, key);
  }
  return keys;
}

function typeHeaderOf(name: string, type: string): HeaderDescription {
  return { name, required: true, description: "The event's type.", schema: { const: type } };
}

/** Returns the headers of every delivery, each once: what the event says of a header comes first. */
function headersOf(
  { signatureFormat: format }: Pick<Provider, "signatureFormat">,
  { envelope: { id, time } }: ProviderDefinition,
): readonly HeaderDescription[] {
  const headers = new Map<string, HeaderDescription>();
  const add = (names: readonly string[], description: string, schema: JsonSchema) => {
    const [name = "", ...others] = names;
    if (headers.has(name.toLowerCase())) return;
    const also = others.length === 0 ? "" : ` Also sent as ${others.join(" or ")}.`;
    headers.set(name.toLowerCase(), {
      name,
      required: others.length === 0,
      description: `${description}${also}`,
      schema,
    });
  };
  if (typeof id === "object" && "header" in id)
    add(namesOf(id.header), "The event's id.", { type: "string", ...ID });
  if (time && "header" in time) {
    const { description, ...schema } = timeAsText(time.format);
    add(namesOf(time.header), `The event's time. ${description}`, schema);
  }
  const { timestamp } = format;
  for (const [index, name] of format.headers.entries()) {
    const names = [name, ...(format.aliases ?? []).map((alias) => alias[index] as string)];
    if (index === 0) add(names, "The signature.", { type: "string", minLength: 1 });
    else if (timestamp?.header === name.toLowerCase())
      add(names, `The time of signing. ${unixTime(timestamp.unit)}`, { type: "string", pattern: "^\\d+$" });
    else add(names, "Part of the signed text.", { type: "string", minLength: 1 });
  }
  return [...headers.values()];
}

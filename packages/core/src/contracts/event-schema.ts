import type { EnvelopeDefinition, ProviderDefinition, TimeUnit } from "../providers/defining/definition.js";
import type { StandardSchema } from "../providers/standard-schema.js";
import { ISO_8601 } from "../text/iso-time.js";
import { type Draft, type JsonSchema, jsonSchemaOf, pointerToken } from "./json-schema.js";

/** The limits of an event's id. */
export const ID = { minLength: 1, maxLength: 255 };

/** A schema to which fields are added. */
interface ObjectSchema {
  type?: unknown;
  properties?: Record<string, ObjectSchema>;
  required?: string[];
  allOf?: JsonSchema[];
}

/** Returns the schema of a field, which may be nested, and makes the field required. */
function requireField(object: ObjectSchema, path: string): ObjectSchema {
  let schema = object;
  for (const name of path.split(".")) {
    schema.type = "object";
    schema.properties ??= {};
    schema.properties[name] ??= {};
    schema.required = [...new Set([...(schema.required ?? []), name])];
    schema = schema.properties[name];
  }
  return schema;
}

/**
 * Returns the JSON Schema of an event's object in the body: the fields that the envelope needs, and the
 * schema of the event's data.
 *
 * @param at The place of the returned schema in its document.
 * @throws TypeError for a type whose schema has no JSON Schema.
 */
export function eventSchema(
  { name, envelope, events }: ProviderDefinition,
  type: string,
  draft: Draft,
  at: string,
): JsonSchema {
  const { time } = envelope;
  const event: ObjectSchema = {};
  if (typeof envelope.type === "string") Object.assign(requireField(event, envelope.type), { const: type });
  if (typeof envelope.id === "string")
    Object.assign(requireField(event, envelope.id), { type: ["string", "integer"], ...ID });
  if (time && "field" in time) Object.assign(requireField(event, time.field), timeInBody(time.format));
  const data = envelope.data === undefined ? event : requireField(event, envelope.data);
  const path = envelope.data?.split(".").map((field) => `/properties/${pointerToken(field)}`) ?? [];
  data.type = "object";
  try {
    data.allOf = [jsonSchemaOf(events[type] as StandardSchema, draft, `${at}${path.join("")}/allOf/0`)];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(
      `contractOf: events[${JSON.stringify(type)}] of ${name} has no JSON Schema: ${reason}`,
    );
  }
  return { title: type, ...event };
}

/**
 * Returns the JSON Schema of a body.
 *
 * @param event The schema of each of its events.
 * @throws TypeError for an envelope that is a function.
 */
export function bodySchema(
  { name, envelope: { events: list } }: ProviderDefinition,
  event: JsonSchema,
): JsonSchema {
  if (list === undefined) return event;
  if (typeof list === "function")
    throw new TypeError(
      `contractOf: envelope.events of ${name} is a function, which has no JSON Schema. Name the field of the list instead.`,
    );
  const body: ObjectSchema = {};
  const field = typeof list === "string" ? list : list.field;
  Object.assign(requireField(body, field), { type: "array", items: event });
  if (typeof list === "string") return { ...body };
  const hasList: ObjectSchema = {};
  requireField(hasList, field);
  return { anyOf: [body, { allOf: [event], not: hasList }] };
}

type TimeFormat = Exclude<NonNullable<EnvelopeDefinition["time"]>, { from: string }>["format"];

/** Returns the JSON Schema of a time in a header, or in a body as a text. */
export function timeAsText(format: TimeFormat): JsonSchema {
  if (format === "iso8601")
    return {
      type: "string",
      pattern: ISO_8601.source,
      description: "ISO 8601. A time without an offset is in UTC.",
    };
  return { type: "string", pattern: "^\\d{1,14}$", description: unixTime(format) };
}

function timeInBody(format: TimeFormat): JsonSchema {
  const text = timeAsText(format);
  return format === "iso8601" ? text : { ...text, type: ["number", "string"], minimum: 0 };
}

export function unixTime(unit: TimeUnit): string {
  return `Unix time in ${unit}.`;
}

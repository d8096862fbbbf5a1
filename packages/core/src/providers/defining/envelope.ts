import type { DeliveryHeaders } from "../../delivery.js";
import type { EventMap, ParsedEvent, ReceivedEvent } from "../../event.js";
import { isObject } from "../../text/describe.js";
import { parseIsoTime } from "../../text/iso-time.js";
import { createEventValidator, type EventFields, idOf, type Schemas } from "../event-validator.js";
import type { CustomSignature, EnvelopeDefinition, HeaderName, TimeUnit } from "./definition.js";
import { namesOf } from "./header-names.js";

type ParseSignature = CustomSignature["parse"];
type Read<Value> = (event: EventFields, headers: DeliveryHeaders) => Value;

/** Returns the parts of a provider that read a body, from a checked definition. */
export function createEnvelope<Events extends EventMap>(
  provider: string,
  envelope: EnvelopeDefinition,
  schemas: Schemas<Events>,
  parseSignature: ParseSignature,
) {
  const readList = listReader(envelope.events);
  const takesOne = envelope.events === undefined || typeof envelope.events === "object";
  const readType = placeReader(envelope.type);
  const readId = idReader(envelope.id, parseSignature);
  const readTime = timeReader(envelope.time, parseSignature);
  const readData = envelope.data === undefined ? undefined : fieldReader(envelope.data);
  const validate = createEventValidator<Events>(provider, schemas, {
    id: missingId(envelope.id),
    occurredAt: missingTime(envelope.time),
  });

  function parseEvent(event: EventFields, headers: DeliveryHeaders, receivedAt: number): ParsedEvent<Events> {
    const occurredAt = readTime ? readTime(event, headers) : new Date(receivedAt);
    const type = readType(event, headers);
    const id = idOf(readId(event, headers));
    const data = readData ? readData(event) : event;
    if (isObject(data)) return validate(type, id, occurredAt, data);
    const problems = [`${envelope.data}: expected object`];
    return { provider, type: typeof type === "string" ? type : "", id, occurredAt, data: event, problems };
  }

  function parseEvents(
    body: unknown,
    headers: DeliveryHeaders,
    receivedAt: number,
  ): readonly ParsedEvent<Events>[] | undefined {
    if (!isObject(body)) return undefined;
    const list = readList?.(body);
    if (list === undefined && takesOne)
      return typeof readType(body, headers) === "string"
        ? [parseEvent(body, headers, receivedAt)]
        : undefined;
    if (!Array.isArray(list) || !list.every(isObject)) return undefined;
    return list.map((event) => parseEvent(event, headers, receivedAt));
  }

  /** Returns how many events a body holds. Looks at none of them. */
  function countEvents(body: unknown): number {
    const list = readList && isObject(body) ? readList(body) : undefined;
    return Array.isArray(list) ? list.length : 1;
  }

  return { parseEvents, countEvents, subjectOf: subjectReader(envelope.subject) };
}

function listReader(events: EnvelopeDefinition["events"]): ((body: EventFields) => unknown) | undefined {
  if (typeof events === "function" || events === undefined) return events;
  return fieldReader(typeof events === "string" ? events : events.field);
}

/** Returns a function that reads a field, which may be nested. It reads own fields only, as the sender wrote them. */
function fieldReader(path: string): (object: EventFields) => unknown {
  const names = path.split(".");
  const [name = ""] = names;
  if (names.length === 1) return (object) => (Object.hasOwn(object, name) ? object[name] : undefined);
  return (object) => {
    let value: unknown = object;
    for (const each of names) value = isObject(value) && Object.hasOwn(value, each) ? value[each] : undefined;
    return value;
  };
}

function headerReader(name: HeaderName): (headers: DeliveryHeaders) => string | undefined {
  const names = namesOf(name).map((each) => each.toLowerCase());
  return (headers) => {
    for (const each of names) {
      const value = headers.get(each);
      if (value) return value;
    }
    return undefined;
  };
}

function placeReader(place: string | { readonly header: HeaderName }): Read<unknown> {
  if (typeof place === "string") return fieldReader(place);
  const read = headerReader(place.header);
  return (_event, headers) => read(headers);
}

function idReader(id: EnvelopeDefinition["id"], parseSignature: ParseSignature): Read<unknown> {
  if (typeof id === "string" || "header" in id) return placeReader(id);
  return (_event, headers) => {
    const signature = parseSignature(headers);
    return typeof signature === "string" ? undefined : signature.digest;
  };
}

function timeReader(
  time: EnvelopeDefinition["time"],
  parseSignature: ParseSignature,
): Read<Date | undefined> | undefined {
  if (time === undefined) return undefined;
  if ("from" in time) {
    return (_event, headers) => {
      const signature = parseSignature(headers);
      const timestamp = typeof signature === "string" ? undefined : signature.timestamp;
      return timestamp === undefined ? undefined : new Date(timestamp);
    };
  }
  const read = placeReader("field" in time ? time.field : time);
  const { format } = time;
  if (format === "iso8601") {
    return (event, headers) => {
      const text = read(event, headers);
      return typeof text === "string" ? parseIsoTime(text) : undefined;
    };
  }
  return (event, headers) => parseUnixTime(read(event, headers), format);
}

const DIGITS = { seconds: /^\d{1,11}$/, milliseconds: /^\d{1,14}$/ };

/** Takes digits, or a number in JSON, which may have a fraction. The last time is in the year 5138. */
function parseUnixTime(value: unknown, unit: TimeUnit): Date | undefined {
  const number = typeof value === "string" && DIGITS[unit].test(value) ? Number(value) : value;
  if (typeof number !== "number") return undefined;
  const milliseconds = number * (unit === "seconds" ? 1000 : 1);
  return milliseconds >= 0 && milliseconds < 1e14 ? new Date(milliseconds) : undefined;
}

function subjectReader(
  subject: EnvelopeDefinition["subject"],
): (event: ReceivedEvent<never>) => string | undefined {
  if (typeof subject === "function") return subject as (event: ReceivedEvent<never>) => string | undefined;
  const paths = typeof subject === "string" ? [subject] : (subject ?? []);
  const fields = paths.map((path) => [path, fieldReader(path)] as const);
  return ({ data }) => {
    for (const [path, read] of fields) {
      const id = idOf(read(data as EventFields));
      // Ids of different fields can be equal.
      if (id !== "") return fields.length === 1 ? id : `${path}:${id}`;
    }
    return undefined;
  };
}

/** `undefined` if the id is the signature: without a secret there is none, and nothing is wrong. */
function missingId(id: EnvelopeDefinition["id"]): string | undefined {
  if (typeof id === "string") return `${id}: expected a string of 1 to 255 characters`;
  return "header" in id ? `${namesOf(id.header)[0]}: expected a header of 1 to 255 characters` : undefined;
}

function missingTime(time: EnvelopeDefinition["time"]): string {
  if (time === undefined || "from" in time) return "time: expected the signed time";
  const place = "field" in time ? time.field : namesOf(time.header)[0];
  return `${place}: expected ${time.format === "iso8601" ? "ISO 8601" : `Unix time in ${time.format}`}`;
}

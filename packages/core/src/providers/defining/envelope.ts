import type { DeliveryHeaders } from "../../delivery.js";
import type { EventMap, ParsedEvent, ReceivedEvent } from "../../event.js";
import type { Provider } from "../../provider.js";
import { isObject } from "../../text/describe.js";
import { parseIsoTime } from "../../text/iso-time.js";
import { createEventValidator, type EventFields, idOf, type Schemas } from "../event-validator.js";
import type { SignatureParts } from "../signature-format.js";
import type { CustomSignature, EnvelopeDefinition, HeaderName, TimeUnit } from "./definition.js";
import { namesOf } from "./header-names.js";

/** The parts of a delivery beside its body. All of its events share them. */
interface Sent {
  readonly headers: DeliveryHeaders;
  /** Unix time in milliseconds. */
  readonly receivedAt: number;
  /** `undefined` if the headers hold none, or if no event needs it. */
  readonly signature: SignatureParts | undefined;
}

type Read<Value> = (event: EventFields, sent: Sent) => Value;

/** Returns the parts of a provider that read a body, from a checked definition. */
export function createEnvelope<Events extends EventMap>(
  provider: string,
  envelope: EnvelopeDefinition,
  schemas: Schemas<Events>,
  parseSignature: CustomSignature["parse"],
) {
  const readList = listReader(envelope.events);
  const takesOne = envelope.events === undefined || typeof envelope.events === "object";
  const readType = placeReader(envelope.type);
  const readId = idReader(envelope.id);
  const readTime = timeReader(envelope.time);
  const needsSignature = [envelope.id, envelope.time].some(
    (part) => typeof part === "object" && "from" in part,
  );
  const readData = envelope.data === undefined ? undefined : fieldReader(envelope.data);
  const validate = createEventValidator<Events>(provider, schemas, {
    type: `${placeOf(envelope.type)}: expected string`,
    id: missingId(envelope.id),
    occurredAt: missingTime(envelope.time),
  });

  function parseEvent(event: EventFields, sent: Sent): ParsedEvent<Events> {
    const occurredAt = readTime(event, sent);
    const type = readType(event, sent);
    const id = idOf(readId(event, sent));
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
    const signature = needsSignature ? parseSignature(headers) : undefined;
    const sent = { headers, receivedAt, signature: typeof signature === "string" ? undefined : signature };
    const list = readList?.(body);
    if (list === undefined && takesOne)
      return typeof readType(body, sent) === "string" ? [parseEvent(body, sent)] : undefined;
    if (!Array.isArray(list) || !list.every(isObject)) return undefined;
    return list.map((event) => parseEvent(event, sent));
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

/** Returns the name of a field or a header. */
function placeOf(place: string | { readonly header: HeaderName }): string {
  return typeof place === "string" ? place : namesOf(place.header)[0];
}

/** Returns a sentence about the envelope that the body should be; an empty text if the provider has no definition. */
export function expectedEnvelope<Events extends EventMap>({
  definition,
}: Pick<Provider<Events>, "definition">): string {
  if (definition === undefined) return "";
  const { events, type } = definition.envelope;
  return ` The definition expects ${JSON.stringify({ events, type })}.`;
}

/** Returns a function that reads a field, which may be nested. It reads own fields only, as the sender wrote them. */
export function fieldReader(path: string): (object: EventFields) => unknown {
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
  return (_event, { headers }) => read(headers);
}

function idReader(id: EnvelopeDefinition["id"]): Read<unknown> {
  if (typeof id === "string" || "header" in id) return placeReader(id);
  return (_event, { signature }) => signature?.digest;
}

function timeReader(time: EnvelopeDefinition["time"]): Read<Date | undefined> {
  if (time === undefined) return (_event, { receivedAt }) => new Date(receivedAt);
  if ("from" in time) {
    // A delivery without a signature reaches an unsigned receiver only.
    return (_event, { signature, receivedAt }) => new Date(signature?.timestamp ?? receivedAt);
  }
  const read = placeReader("field" in time ? time.field : time);
  const { format } = time;
  if (format === "iso8601") {
    return (event, sent) => {
      const text = read(event, sent);
      return typeof text === "string" ? parseIsoTime(text) : undefined;
    };
  }
  return (event, sent) => parseUnixTime(read(event, sent), format);
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

/** `undefined` if the time of receipt stands for a missing time. */
function missingTime(time: EnvelopeDefinition["time"]): string | undefined {
  if (time === undefined || "from" in time) return undefined;
  const place = "field" in time ? time.field : namesOf(time.header)[0];
  return `${place}: expected ${time.format === "iso8601" ? "ISO 8601" : `Unix time in ${time.format}`}`;
}

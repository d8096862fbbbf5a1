import type * as z from "zod/mini";
import type { EventMap, EventType, ReceivedEvent } from "../event.js";

/** Without the index signature, so that the compiler holds each schema to the documented fields. */
type Documented<Data> = { [Field in keyof Data as string extends Field ? never : Field]: Data[Field] };

/** A schema per type. They judge; the data that listeners get is the parsed JSON itself, unknown fields and all. */
export type Schemas<Events extends EventMap> = {
  readonly [Type in EventType<Events>]: z.ZodMiniType<Documented<Events[Type]>>;
};

/** An event's data before it is judged. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * Sees of nearly every event with an id and a time that it fits its type, in a fraction of the time that
 * its schema takes. What it does not see is for the schema to judge; what the schema refuses, it must not pass.
 */
export type Glances<Events extends EventMap> = {
  readonly [Type in EventType<Events>]?: (data: Fields) => boolean;
};

/** Judges what a provider sent as an event: its type as it came, its id and time if they can be read. */
export type EventValidator<Events extends EventMap> = (
  type: unknown,
  id: string,
  occurredAt: Date | undefined,
  data: Fields,
) => ReceivedEvent<Events>;

/**
 * Makes a judge of these schemas.
 *
 * @param missing What to say of an event without an id, and of one without a time.
 */
export function createEventValidator<Events extends EventMap>(
  provider: string,
  schemas: Schemas<Events>,
  glances: Glances<Events>,
  missing: { readonly id: string; readonly occurredAt: string },
): EventValidator<Events> {
  // A Map, because the type comes over the wire: an object would know "constructor".
  const byType = new Map(
    (Object.keys(schemas) as EventType<Events>[]).map((type) => [
      type as unknown,
      { type, schema: schemas[type] as z.ZodMiniType, seesFit: glances[type] },
    ]),
  );
  return (sentType, id, occurredAt, data) => {
    const known = byType.get(sentType);
    if (known === undefined) {
      const type = typeof sentType === "string" ? sentType : "";
      return { provider, type, id, occurredAt, data, problems: type === "" ? ["type: expected string"] : [] };
    }
    // The type of the map rather than its equal from the wire: looking it up again then costs less.
    const { type, schema, seesFit } = known;
    const isComplete = id !== "" && occurredAt !== undefined;
    if (isComplete && seesFit?.(data))
      return { provider, type, id, occurredAt, data } as ReceivedEvent<Events>;
    const result = schema.safeParse(data);
    if (isComplete && result.success)
      return { provider, type, id, occurredAt, data } as ReceivedEvent<Events>;
    const problems = (result.error?.issues ?? []).map(describe);
    if (result.success && id === "") problems.push(missing.id);
    if (result.success && occurredAt === undefined) problems.push(missing.occurredAt);
    return { provider, type, id, occurredAt, data, problems };
  };
}

/** Names and shapes only, never values: problems are meant to be logged. */
function describe(issue: z.core.$ZodIssue): string {
  const expected = issue.code === "invalid_type" ? issue.expected : "object or array of objects";
  return `${issue.path.join(".")}: expected ${expected}`;
}

const MAX_ID_LENGTH = 255;

/** An id as an event can be claimed by; empty for what cannot be one. */
export function idOf(value: unknown): string {
  return typeof value === "string" && value.length <= MAX_ID_LENGTH ? value : "";
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

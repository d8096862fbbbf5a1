import type * as z from "zod/mini";
import type { EventMap, EventType, ReceivedEvent } from "../event.js";

/** Without the index signature, so that the compiler holds each schema to the documented fields. */
type Documented<Data> = { [Field in keyof Data as string extends Field ? never : Field]: Data[Field] };

/** A schema per event type. A schema only checks: listeners get the parsed JSON itself, unknown fields included. */
export type Schemas<Events extends EventMap> = {
  readonly [Type in EventType<Events>]: z.ZodMiniType<Documented<Events[Type]>>;
};

/** An event's data before validation. */
export type EventFields = Readonly<Record<string, unknown>>;

/**
 * Makes an event from what a provider sent. An event of an unknown type, or with data that does not
 * fit its type, has `problems`.
 *
 * @param type The event type as it was sent, perhaps not a string.
 * @param id Empty if the provider sent none that can be read.
 * @param occurredAt `undefined` if the provider sent no time that can be read.
 */
export type EventValidator<Events extends EventMap> = (
  type: unknown,
  id: string,
  occurredAt: Date | undefined,
  data: EventFields,
) => ReceivedEvent<Events>;

/** @param missing The problem of an event without an id, and of one without a time. */
export function createEventValidator<Events extends EventMap>(
  provider: string,
  schemas: Schemas<Events>,
  missing: { readonly id: string; readonly occurredAt: string },
): EventValidator<Events> {
  // A Map, because the type comes over the wire: a plain object would find "constructor".
  const schemaOf = new Map<unknown, z.ZodMiniType>(Object.entries<z.ZodMiniType>(schemas));

  return function validate(sentType, id, occurredAt, data) {
    const type = typeof sentType === "string" ? sentType : "";
    const schema = schemaOf.get(type);
    if (schema === undefined) {
      return { provider, type, id, occurredAt, data, problems: type === "" ? ["type: expected string"] : [] };
    }
    const result = schema.safeParse(data);
    const problems = (result.error?.issues ?? []).map(describe);
    if (result.success && id === "") problems.push(missing.id);
    if (result.success && occurredAt === undefined) problems.push(missing.occurredAt);
    if (problems.length > 0) return { provider, type, id, occurredAt, data, problems };
    return { provider, type, id, occurredAt, data } as ReceivedEvent<Events>;
  };
}

/** Returns names and shapes, never values: problems are logged. */
function describe(issue: z.core.$ZodIssue): string {
  const expected = issue.code === "invalid_type" ? issue.expected : "object or array of objects";
  return `${issue.path.join(".")}: expected ${expected}`;
}

const MAX_ID_LENGTH = 255;

/** Returns an id that an event can be claimed by; an empty string for anything else. */
export function idOf(value: unknown): string {
  return typeof value === "string" && value.length <= MAX_ID_LENGTH ? value : "";
}

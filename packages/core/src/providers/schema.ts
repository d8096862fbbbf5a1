import type * as z from "zod/mini";
import type { EventMap, EventType, ReceivedEvent } from "../event.js";

/** Without the index signature, so that the compiler holds each schema to the documented fields. */
type Documented<Data> = { [Field in keyof Data as string extends Field ? never : Field]: Data[Field] };

/** A schema per type. They judge; the data that listeners get is the parsed JSON itself, unknown fields and all. */
export type Schemas<Events extends EventMap> = {
  readonly [Type in EventType<Events>]: z.ZodMiniType<Documented<Events[Type]>>;
};

/** What a provider sent as an event. */
export interface SentEvent {
  readonly type: unknown;
  readonly id: string;
  readonly occurredAt: Date | undefined;
  readonly data: Record<string, unknown>;
}

/**
 * Makes a function that judges what was sent by the schema of its type.
 *
 * @param missing What to say of an event without an id, and of one without a time.
 */
export function judgeOf<Events extends EventMap>(
  provider: string,
  schemas: Schemas<Events>,
  missing: { readonly id: string; readonly occurredAt: string },
): (sent: SentEvent) => ReceivedEvent<Events> {
  // A Map, because the type comes over the wire: an object would know "constructor".
  const byType = new Map<unknown, z.ZodMiniType>(Object.entries(schemas));
  return ({ type, id, occurredAt, data }) => {
    const name = typeof type === "string" ? type : "";
    const schema = byType.get(name);
    if (schema === undefined) {
      const problems = name === "" ? ["type: expected string"] : [];
      return { provider, type: name, id, occurredAt, data, problems };
    }
    const result = schema.safeParse(data);
    if (result.success && id !== "" && occurredAt !== undefined) {
      return { provider, type: name, id, occurredAt, data } as ReceivedEvent<Events>;
    }
    const problems = (result.error?.issues ?? []).map(describe);
    if (result.success && id === "") problems.push(missing.id);
    if (result.success && occurredAt === undefined) problems.push(missing.occurredAt);
    return { provider, type: name, id, occurredAt, data, problems };
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

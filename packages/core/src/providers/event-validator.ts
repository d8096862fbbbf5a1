import * as z from "zod/mini";
import { kindOf } from "../errors.js";
import type { EventMap, EventType, ParsedEvent } from "../event.js";
import { startOf } from "../text/describe.js";
import { isThenable } from "../values/maybe-promise.js";
import type { SchemaIssue, StandardSchema } from "./standard-schema.js";

/** One schema per event type. Schemas only validate: listeners get the parsed JSON with all its fields. */
export type Schemas<Events extends EventMap> = {
  readonly [Type in EventType<Events>]: StandardSchema<Events[Type]>;
};

/**
 * Returns the schema of a list. It stops at the first element that does not fit: zod's own would collect
 * an issue for each of them, and copy the list.
 *
 * @param type The elements' type in JSON Schema, also for problems.
 */
export function listOf<Element>(
  type: "string" | "object",
  fits: (element: unknown) => element is Element,
): z.ZodMiniType<Element[], Element[]> {
  const list = z.custom<Element[], Element[]>(Array.isArray, "expected array").check(({ value, issues }) => {
    const misfit = value.findIndex((element) => !fits(element));
    if (misfit < 0) return;
    issues.push({ code: "custom", input: value, path: [misfit], message: `expected ${type}` });
  });
  return withJsonSchema(list, { type: "array", items: { type } });
}

/** Gives a schema that checks by code its JSON Schema, from which tools print contracts. The receiver never reads it. */
export function withJsonSchema<Schema extends z.ZodMiniType>(schema: Schema, jsonSchema: object): Schema {
  schema._zod.processJSONSchema = (_context, json) => void Object.assign(json, jsonSchema);
  return schema;
}

/** An event's data before validation. */
export type EventFields = Readonly<Record<string, unknown>>;

/**
 * Validates what a provider sent, and returns it as an event. An event of an unknown type, with data that
 * does not fit its type, or without id or time, has `problems`. Never throws.
 *
 * @param type The type as the provider sent it, perhaps not a string.
 * @param id As `idOf` returns it.
 * @param occurredAt `undefined` if the provider sent no readable time.
 */
export type EventValidator<Events extends EventMap> = (
  type: unknown,
  id: string,
  occurredAt: Date | undefined,
  data: EventFields,
) => ParsedEvent<Events>;

/**
 * @param missing The texts of three problems: an event without a type, without an id, and without a time.
 *   `undefined` if that is no problem.
 */
export function createEventValidator<Events extends EventMap>(
  provider: string,
  schemas: Schemas<Events>,
  missing: {
    readonly type: string;
    readonly id: string | undefined;
    readonly occurredAt: string | undefined;
  },
): EventValidator<Events> {
  // A Map, because the type comes from the sender: a plain object has a member "constructor".
  const schemaOf = new Map<unknown, StandardSchema>(Object.entries<StandardSchema>(schemas));

  return function validate(sentType, id, occurredAt, data) {
    const type = typeof sentType === "string" ? sentType : "";
    const schema = schemaOf.get(type);
    if (schema === undefined) {
      return { provider, type, id, occurredAt, data, problems: type === "" ? [missing.type] : [] };
    }
    const problems = problemsOf(schema, data);
    const fits = problems.length === 0;
    if (fits && id === "" && missing.id) problems.push(missing.id);
    if (fits && occurredAt === undefined && missing.occurredAt) problems.push(missing.occurredAt);
    if (problems.length > 0) return { provider, type, id, occurredAt, data, problems };
    return { provider, type, id, occurredAt, data } as ParsedEvent<Events>;
  };
}

/** An event keeps its problems, and so does the queue behind a sink. `UnrecognizedEvent.problems` states both limits. */
const PROBLEMS_MAX = 10;
/** In UTF-16 units. */
const PROBLEM_LENGTH_MAX = 255;

function problemsOf({ "~standard": schema }: StandardSchema, data: EventFields): string[] {
  try {
    const result = schema.validate(data);
    if (isThenable(result)) {
      // zod answers with a promise if a synchronous check throws. Its rejection must not end the process.
      Promise.resolve(result).catch(() => {});
      return ["validation failed or is asynchronous. Use a schema that validates synchronously"];
    }
    return (result.issues ?? []).slice(0, PROBLEMS_MAX).map((issue) => describe(issue, schema.vendor));
  } catch (error) {
    // One event that cannot be validated must not cost the other events of its delivery.
    return [`validation failed (${kindOf(error)})`];
  }
}

/** Returns names and shapes, never values, so that problems are safe to log. Messages of most libraries quote values. */
function describe({ path = [], expected, message }: SchemaIssue, vendor: string): string {
  const names = path.map((part) => String(typeof part === "object" ? part.key : part));
  const problem =
    typeof expected === "string" ? `expected ${expected}` : vendor === "zod" ? message : "does not fit";
  return startOf(`${names.join(".")}: ${problem}`, PROBLEM_LENGTH_MAX);
}

const MAX_ID_LENGTH = 255;

/** Returns an id of at most 255 characters, or a whole number as text. Returns an empty string for anything else. */
export function idOf(value: unknown): string {
  if (typeof value === "string") return value.length <= MAX_ID_LENGTH ? value : "";
  return Number.isSafeInteger(value) && (value as number) >= 0 ? String(value) : "";
}

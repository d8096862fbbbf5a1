import { describe, expect, test } from "vitest";
import * as prolificEvents from "../src/providers/prolific/events.js";
import * as tolokaEvents from "../src/providers/toloka/events.js";
import { prolificEvent, tolokaEvent } from "../src/testing.js";

/** Every kind of JSON value, and a missing one. */
const VALUES = [undefined, null, true, 0, 1.5, "", "text", [], ["a"], [1], {}, { a: 1 }, [{ a: 1 }], [[]]];

const providers = [
  {
    name: "toloka",
    types: tolokaEvents.EVENT_TYPES as readonly string[],
    sample: (type: string): Record<string, unknown> => ({
      ...tolokaEvent(type as tolokaEvents.TolokaEventType),
    }),
    read: (data: object) => tolokaEvents.parseEvents({ events: [data] })?.[0]?.problems,
  },
  {
    name: "prolific",
    types: prolificEvents.EVENT_TYPES as readonly string[],
    sample: (type: string): Record<string, unknown> => ({
      ...prolificEvent(type as prolificEvents.ProlificEventType),
    }),
    read: (data: object) =>
      prolificEvents.parseEvents(data, {
        get: (name) => (name === "x-event-id" ? "event-1" : "1700000000"),
      })?.[0]?.problems,
  },
];

/** The kind of each documented field, written independently of the schemas. Source: the providers' documentation. */
const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  confidence: (value) => typeof value === "number",
  assignment_ids: (value) => Array.isArray(value) && value.every((id) => typeof id === "string"),
  output_values: (value) => (Array.isArray(value) ? value.every(isObject) : isObject(value)),
  metadata: isObject,
};
/** Fields that an event may lack, or have as null. */
const OPTIONAL: readonly string[] = ["assignment_ids", "metadata"];
const isText = (value: unknown) => typeof value === "string";

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

describe.each(providers)("$name", ({ types, sample, read }) => {
  test.each(types)(
    "%s fits its schema when it has all of its fields, and not when a required field is missing or any field is of another kind",
    (type) => {
      const data = sample(type);
      expect(read(data)).toBeUndefined();
      const keys = Object.keys(data).filter((field) => !["type", "event_type"].includes(field));
      for (const field of keys) {
        for (const value of VALUES) {
          const changed = JSON.parse(JSON.stringify({ ...data, [field]: value }));
          const isMissing = value === undefined || value === null;
          const fits = isMissing ? OPTIONAL.includes(field) : (KINDS[field] ?? isText)(value);
          // Not every text is a valid id or time.
          if (fits && ["uuid", "event_time"].includes(field)) continue;
          expect([field, value, read(changed) === undefined]).toEqual([field, value, fits]);
        }
      }
    },
  );

  test.each(types)("%s fits its schema when it has unknown fields of any kind", (type) => {
    for (const value of VALUES) {
      expect(read({ ...sample(type), newer: value, constructor: value })).toBeUndefined();
    }
  });
});

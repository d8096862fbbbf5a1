import { describe, expect, test } from "vitest";
import { type ProlificEventType, prolific } from "../src/providers/prolific/index.js";
import { type TolokaEventType, toloka } from "../src/providers/toloka/index.js";
import { prolificEvent, tolokaEvent } from "../src/testing.js";

/** Every kind of JSON value, and a missing one. */
const VALUES = [undefined, null, true, 0, 1.5, "", "text", [], ["a"], [1], {}, { a: 1 }, [{ a: 1 }], [[]]];

const HEADERS = {
  get: (name: string) => (name === "x-event-id" ? "event-1" : "1700000000"),
};

const providers = [
  {
    name: "toloka",
    types: toloka.eventTypes as readonly string[],
    sample: (type: string): Record<string, unknown> => ({
      ...tolokaEvent(type as TolokaEventType),
    }),
    read: (data: object) => toloka.parseEvents({ events: [data] }, new Headers(), 0)?.[0]?.problems,
  },
  {
    name: "prolific",
    types: prolific.eventTypes as readonly string[],
    sample: (type: string): Record<string, unknown> => ({
      ...prolificEvent(type as ProlificEventType),
    }),
    read: (data: object) => prolific.parseEvents(data, HEADERS, 0)?.[0]?.problems,
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

/** The limits of `UnrecognizedEvent.problems`. */
const PROBLEMS_MAX = 10;
const PROBLEM_LENGTH_MAX = 255;

describe("problems", () => {
  const [ofToloka, ofProlific] = providers as [(typeof providers)[0], (typeof providers)[0]];
  const overlap = ofToloka.sample("DYNAMIC_OVERLAP_COMPLETED");
  const study = ofProlific.sample("study.status.change");
  // More elements than a function can have arguments: a validator that spreads its issues overflows the stack.
  const many = Array.from({ length: 200_000 }, (_, i) => i);

  test("of a list of wrong elements name only the first one", () => {
    expect(ofToloka.read({ ...overlap, assignment_ids: many })).toEqual([
      "assignment_ids.0: expected string",
    ]);
    expect(ofToloka.read({ ...overlap, assignment_ids: ["a", "b", ...many.slice(0, 3)] })).toEqual([
      "assignment_ids.2: expected string",
    ]);
    expect(ofToloka.read({ ...overlap, output_values: many })).toEqual([
      "output_values: expected object or array of objects",
    ]);
  });

  test.each([
    ["a list", many],
    ["a text", "x".repeat(1_000_000)],
    ["nested 100,000 deep", JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)],
    ["a record of many fields", Object.fromEntries(many.map((i) => [`${i}${"x".repeat(20)}`, [i]]))],
  ])("of an event are few and short when each of its fields is %s", (_, value) => {
    for (const { read, types, sample } of providers) {
      for (const type of types) {
        const fields = Object.keys(sample(type)).filter((field) => !["type", "event_type"].includes(field));
        const problems = read({
          ...sample(type),
          ...Object.fromEntries(fields.map((field) => [field, value])),
        });
        expect(problems?.length ?? 0).toBeLessThanOrEqual(PROBLEMS_MAX);
        for (const problem of problems ?? []) expect(problem.length).toBeLessThanOrEqual(PROBLEM_LENGTH_MAX);
      }
    }
  });

  test("of an event that cannot be validated say so, and its neighbours are read", () => {
    const broken = Object.defineProperty({ ...overlap }, "pool_id", {
      get() {
        throw new RangeError("Maximum call stack size exceeded");
      },
    });
    const events = toloka.parseEvents({ events: [overlap, broken, overlap] }, new Headers(), 0);
    expect(events?.map(({ problems }) => problems)).toEqual([
      undefined,
      ["validation failed or is asynchronous. Use a schema that validates synchronously"],
      undefined,
    ]);
  });

  test("a record of many fields fits, and is passed on as it is", () => {
    const metadata = Object.fromEntries(many.map((i) => [`field-${i}`, i]));
    const [event] = prolific.parseEvents({ ...study, metadata }, HEADERS, 0) ?? [];
    expect(event?.problems).toBeUndefined();
    expect((event?.data as { metadata?: unknown } | undefined)?.metadata).toBe(metadata);
  });
});

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

import { describe, expect, test } from "vitest";
import * as z from "zod";
import {
  createReceiver,
  defineProvider,
  type EnvelopeDefinition,
  type ReceiverOptions,
} from "../src/index.js";
import { createSender } from "../src/testing.js";

const ENVELOPE = {
  type: "type",
  id: "id",
  time: { field: "at", format: "seconds" },
  subject: "task.id",
} as const satisfies EnvelopeDefinition;
const SCHEMA = z.object({ task: z.object({ id: z.string() }) });

function defined(envelope: Partial<EnvelopeDefinition>) {
  return defineProvider({
    name: "acme",
    signature: { header: "Acme-Signature", encoding: "hex", signs: "{body}" },
    envelope: { ...ENVELOPE, ...envelope },
    events: { created: SCHEMA, finished: SCHEMA },
  });
}

const event = (type: string, id: string) => ({ type, id, at: 1_700_000_000, task: { id: "task-1" } });

/** Returns the lines in the log of a receiver that gets these bodies. */
async function linesOf(envelope: object, bodies: readonly object[], options: ReceiverOptions = {}) {
  const lines: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => void lines.push(line) };
  const receiver = createReceiver(defined(envelope), { unsigned: true, logger, ...options });
  receiver.onAny(() => {});
  for (const body of bodies)
    await receiver.handle({ method: "POST", headers: {}, body: JSON.stringify(body) });
  return lines;
}

describe("the log names a misspelt path of", () => {
  test.each<[string, object, object, string]>([
    ["the id", { id: "idd" }, event("created", "1"), "idd: expected a string of 1 to 255 characters"],
    [
      "the time",
      { time: { field: "att", format: "seconds" } },
      event("created", "1"),
      "att: expected Unix time in seconds",
    ],
    ["the data", { data: "dataa" }, event("created", "1"), "dataa: expected object"],
    ["the type", { type: "typ" }, event("created", "1"), 'The definition expects {"type":"typ"}.'],
    [
      "the type in a header",
      { type: { header: "Acme-Type" } },
      event("created", "1"),
      'The definition expects {"type":{"header":"Acme-Type"}}.',
    ],
    [
      "the type in a list",
      { type: "typ", events: "items" },
      { items: [event("created", "1")] },
      "typ: expected string",
    ],
    [
      "the list",
      { events: "itemss" },
      { items: [event("created", "1")] },
      'The definition expects {"events":"itemss","type":"type"}.',
    ],
  ])("%s", async (_, envelope, body, text) => {
    expect((await linesOf(envelope, [body])).join()).toContain(text);
  });

  test.each<[string, ReceiverOptions]>([
    ["detectStale", { detectStale: true }],
    ["concurrency", { concurrency: 2 }],
  ])("the subject, once for each type, when %s uses it", async (_, options) => {
    const bodies = [event("created", "1"), event("created", "2"), event("finished", "3")];
    const lines = await linesOf({ subject: ["task.idd", "job"] }, bodies, options);
    expect(lines).toEqual([
      expect.stringContaining('SUBJECT_MISSING: an event of type "created" has no id in task.idd or job'),
      expect.stringContaining('SUBJECT_MISSING: an event of type "finished" has no id in task.idd or job'),
    ]);
  });
});

test("the log has no line about a subject that is found, unused, a function, or of an unknown type", async () => {
  const bodies = [event("created", "1"), event("created", "2")];
  expect(await linesOf({}, bodies, { detectStale: true })).toEqual([]);
  expect(await linesOf({ subject: "task.idd" }, bodies)).toEqual([]);
  expect(await linesOf({ subject: () => undefined }, bodies, { detectStale: true })).toEqual([]);
  expect(await linesOf({}, [{ ...event("new", "1"), task: {} }], { detectStale: true })).toEqual([]);
});

describe("createSender", () => {
  const samples = { created: { task: { id: "task-1" } }, finished: { task: {} } };

  test("names a path of the subject that no sample has", () => {
    const provider = defined({ subject: ["task.id", "task.idd"] });
    expect(() => createSender(provider, { samples })).toThrow(
      "createSender: envelope.subject of acme names task.idd, and no sample has an id there. Correct the path, or add the field to a sample.",
    );
    expect(() => createSender(defined({ subject: "task.id", data: "task" }), { samples })).toThrow("task.id");
  });

  test("accepts a path that one sample has, and checks nothing while a type has no sample", () => {
    expect(() => createSender(defined({}), { samples })).not.toThrow();
    expect(() => createSender(defined({ subject: "id", data: "task" }), { samples })).not.toThrow();
    const { created } = samples;
    expect(() => createSender(defined({ subject: "task.idd" }), { samples: { created } })).not.toThrow();
  });
});

import { defineProvider, type ProviderDefinition } from "@crowdhook/core";
import { CONTRACT_FORMATS, contractOf } from "@crowdhook/core/contracts";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import Ajv2020 from "ajv/dist/2020.js";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import * as mini from "zod/mini";
import { toy } from "./toy-provider.js";

const acme = {
  name: "acme",
  signature: { header: "Acme-Signature", encoding: "hex", signs: "{body}" },
  envelope: { type: "type", id: "id", time: { field: "meta.at", format: "seconds" } },
  events: { "task.done": z.object({ task: z.string() }) },
} satisfies ProviderDefinition;

const contract = (changes: object, format: (typeof CONTRACT_FORMATS)[number] = "json-schema") =>
  contractOf(defineProvider({ ...acme, ...changes } as ProviderDefinition), format);
const validatorOf = (changes: object) => new Ajv2020({ strict: false }).compile(contract(changes));
const event = { type: "task.done", id: "1", meta: { at: 1_700_000_000 }, task: "task-1" };

describe("the contract of an app's own provider", () => {
  test.each([
    ["zod", z.object({ task: z.string() })],
    ["zod with a part that has no JSON Schema", z.object({ task: z.string(), at: z.date().optional() })],
    ["zod/mini", mini.object({ task: mini.string() })],
    ["valibot", toStandardJsonSchema(v.object({ task: v.string() }))],
    ["arktype", type({ task: "string" })],
  ])("has the schema of %s, and allows unknown fields", (_, schema) => {
    const validate = validatorOf({ events: { "task.done": schema } });
    expect(validate(event)).toBe(true);
    expect(validate({ ...event, new: 1 })).toBe(true);
    expect(validate({ ...event, task: 1 })).toBe(false);
    expect(validate({ ...event, id: "" })).toBe(false);
    expect(validate({ ...event, meta: {} })).toBe(false);
    expect(validate({ ...event, type: "task.lost" })).toBe(false);
  });

  test("keeps the references of a recursive schema, also in a field of the event", () => {
    const Tree = z.object({
      get children() {
        return z.array(Tree);
      },
    });
    const events = { "task.done": z.object({ tree: Tree }) };
    const validate = validatorOf({ envelope: { ...acme.envelope, data: "payload.data" }, events });
    const body = (tree: object) => ({ ...event, payload: { data: { tree } } });
    expect(validate(body({ children: [{ children: [] }] }))).toBe(true);
    expect(validate(body({ children: [{ children: 1 }] }))).toBe(false);
    expect(validate({ ...event, tree: { children: [] } })).toBe(false);
  });

  test.each(["items", "payload.items"])("has the list of events in the field %s", (field) => {
    const validate = validatorOf({ envelope: { ...acme.envelope, events: field } });
    const body = (items: unknown) => (field === "items" ? { items } : { payload: { items } });
    expect(validate(body([event, event]))).toBe(true);
    expect(validate(body([event, { ...event, task: 1 }]))).toBe(false);
    expect(validate(event)).toBe(false);
  });

  test("has each type's header if the type is in a header, and each header once", () => {
    const signature = {
      header: ["webhook-signature", "svix-signature"],
      encoding: "base64",
      id: { header: ["webhook-id", "svix-id"] },
      timestamp: { header: ["webhook-timestamp", "svix-timestamp"], unit: "seconds" },
      signs: "{id}.{timestamp}.{body}",
    };
    const envelope = { type: { header: "Acme-Type" }, id: { header: ["webhook-id", "svix-id"] } };
    const document = contract({ signature, envelope }, "openapi") as never as {
      webhooks: Record<string, { post: { parameters: unknown[] } }>;
      components: { parameters: object };
    };
    expect(document.webhooks["task.done"]?.post.parameters).toContainEqual({
      name: "Acme-Type",
      in: "header",
      required: true,
      description: "The event's type.",
      schema: { const: "task.done" },
    });
    expect(document.components.parameters).toMatchObject({
      "webhook-id": { required: false, description: "The event's id. Also sent as svix-id." },
      "webhook-signature": { required: false },
      "webhook-timestamp": {
        description: "The time of signing. Unix time in seconds. Also sent as svix-timestamp.",
      },
    });
    expect(Object.keys(document.components.parameters)).toHaveLength(3);
  });

  test("has a key of its own for each type, and the type as its name", () => {
    const events = { "task:done": acme.events["task.done"], task_done: acme.events["task.done"] };
    const { components } = contract({ events }, "asyncapi") as never as { components: { messages: object } };
    expect(components.messages).toMatchObject({
      task_done: { name: "task:done" },
      task_done_: { name: "task_done" },
    });
    expect(Object.keys(contract({ events }).$defs as object)).toEqual(["task:done", "task_done"]);
    expect(validatorOf({ events })({ ...event, type: "task:done" })).toBe(true);
  });
});

describe.each(CONTRACT_FORMATS)("contractOf with the format %s throws, and names the part, if", (format) => {
  test("the schema of a type has no JSON Schema", () => {
    expect(() => contract({ events: { "task.done": v.object({}) } }, format)).toThrow(
      /^contractOf: events\["task.done"\] of acme has no JSON Schema: its library offers none\./,
    );
  });

  test("a function finds the events", () => {
    const envelope = { ...acme.envelope, events: () => [] };
    expect(() => contract({ envelope }, format)).toThrow(/envelope\.events of acme is a function/);
  });

  test("defineProvider did not make the provider", () => {
    expect(() => contractOf(toy, format)).toThrow(/a provider that defineProvider made, unlike toy/);
  });
});

test("contractOf names the formats if it gets another one", () => {
  expect(() => contract({}, "yaml" as never)).toThrow(/must be json-schema, asyncapi, openapi, not "yaml"/);
});

import * as z from "zod/mini";
import type { StandardSchema } from "../providers/standard-schema.js";

export type JsonSchema = Readonly<Record<string, unknown>>;

/** AsyncAPI's schemas are those of draft 7. */
export type Draft = "draft-2020-12" | "draft-07";

/** The part of Standard JSON Schema that is used here. Source: https://standardschema.dev/json-schema. */
interface StandardJsonSchema {
  readonly jsonSchema?: {
    input(options: { target: Draft; libraryOptions?: Record<string, unknown> | undefined }): object;
  };
}

/** A check that has no JSON Schema, such as zod's `refine`, is left out, so a contract may allow more. */
const ZOD = { unrepresentable: "any" } as const;

/**
 * Returns the JSON Schema of the values that a schema accepts.
 *
 * @param at The place of the returned schema in its document, to which its references are moved.
 * @throws Error for a schema that has none, and what its library throws for a part that has none.
 */
export function jsonSchemaOf(schema: StandardSchema, target: Draft, at: string): JsonSchema {
  const { jsonSchema, vendor } = schema["~standard"] as StandardSchema["~standard"] & StandardJsonSchema;
  const { $schema, ...converted } = copy(
    jsonSchema
      ? jsonSchema.input({ target, ...(vendor === "zod" && { libraryOptions: ZOD }) })
      : convertZod(schema, target),
  );
  return "$id" in converted ? converted : moveReferences(converted, at);
}

/** zod/mini, and zod before 4.2, have no method for it. */
function convertZod(schema: StandardSchema, target: Draft): object {
  if ("_zod" in schema) return z.toJSONSchema(schema as never, { io: "input", target, ...ZOD });
  throw new Error(
    "its library offers none. Use a schema with Standard JSON Schema: of zod 4, arktype, or toStandardJsonSchema() of @valibot/to-json-schema.",
  );
}

function copy(value: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}

/** Keywords whose members have names of the app's own, which are no keywords. */
const MAPS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);
/** Keywords that hold data, not schemas. */
const DATA = new Set(["const", "enum", "default", "examples"]);

/** Moves the references of a schema, such as those of a recursive one, to its place in a document. */
function moveReferences(schema: JsonSchema, at: string): JsonSchema {
  const move = (value: unknown, isMap: boolean): unknown => {
    if (Array.isArray(value)) return value.map((each) => move(each, false));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => {
        if (isMap) return [name, move(member, false)];
        if (name === "$ref" && typeof member === "string" && member.startsWith("#"))
          return [name, `${at}${member.slice(1)}`];
        return [name, DATA.has(name) ? member : move(member, MAPS.has(name))];
      }),
    );
  };
  return move(schema, false) as JsonSchema;
}

/** Returns a JSON Pointer's token for a name, as part of a URI fragment. */
export function pointerToken(name: string): string {
  return encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"));
}

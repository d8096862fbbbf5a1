import type { EventMap } from "../event.js";
import type { Provider } from "../provider.js";
import { describeValue } from "../text/describe.js";
import { asyncApiOf } from "./asyncapi.js";
import { describeProvider } from "./describe-provider.js";
import type { JsonSchema } from "./json-schema.js";
import { openApiOf } from "./openapi.js";

/** JSON Schema 2020-12, AsyncAPI 3.0 and OpenAPI 3.1. */
export const CONTRACT_FORMATS = ["json-schema", "asyncapi", "openapi"] as const;

/** A format of the document that `contractOf` returns. */
export type ContractFormat = (typeof CONTRACT_FORMATS)[number];

/**
 * Returns a document that describes a provider's deliveries, made from the schemas with which the receiver
 * validates. It is plain JSON. It names neither the URL of an app nor a secret.
 *
 * @throws TypeError for a provider that `defineProvider` did not make, and for a part of its definition that
 *   has no JSON Schema. The message names the part.
 */
export function contractOf<Events extends EventMap>(
  provider: Provider<Events>,
  format: ContractFormat,
): Readonly<Record<string, unknown>> {
  if (format === "json-schema") return jsonSchemaDocument(provider);
  if (format === "asyncapi")
    return asyncApiOf(describeProvider(provider, "draft-07", "#/components/schemas"), provider.defaultPath);
  if (format === "openapi")
    return openApiOf(describeProvider(provider, "draft-2020-12", "#/components/schemas"));
  throw new TypeError(
    `contractOf: the format must be ${CONTRACT_FORMATS.join(", ")}, not ${describeValue(format)}.`,
  );
}

/** Returns a schema that takes every body of the provider. Its `$defs` are the events by type. */
function jsonSchemaDocument<Events extends EventMap>(provider: Provider<Events>): JsonSchema {
  const { title, text, schemas, deliveries } = describeProvider(provider, "draft-2020-12", "#/$defs");
  const bodies = deliveries.map(({ body }) => body);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title,
    description: text,
    ...(bodies.length === 1 ? bodies[0] : { anyOf: bodies }),
    $defs: schemas,
  };
}

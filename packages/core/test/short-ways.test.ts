import { afterEach, describe, expect, test, vi } from "vitest";
import * as fromProlific from "../src/providers/prolific/events.js";
import * as fromToloka from "../src/providers/toloka/events.js";
import { parseSignature } from "../src/providers/toloka/signature.js";
import { prolificEvent, tolokaEvent } from "../src/testing.js";

// What comes as a rule takes a way that is shorter, and gives the same as the long one: other tests say
// what. These say which of the two is taken.

afterEach(() => {
  vi.restoreAllMocks();
});

interface Kind {
  readonly type: string;
  readonly schema: object;
  readonly data: Readonly<Record<string, unknown>>;
  read(data: object): { readonly problems?: readonly string[] | undefined } | undefined;
}

const TOLOKA: Kind[] = fromToloka.EVENT_TYPES.filter((type) => type !== "DYNAMIC_OVERLAP_COMPLETED").map(
  (type) => ({
    type,
    schema: fromToloka.SCHEMAS[type],
    data: tolokaEvent(type),
    read: (data) => fromToloka.parseEvents({ events: [data] })?.[0],
  }),
);
const headers = { get: (name: string) => (name === "x-event-id" ? "event" : "1581682978") };
const PROLIFIC: Kind[] = (["submission.status.change", "study.progress.change"] as const).map((type) => ({
  type,
  schema: fromProlific.SCHEMAS[type],
  data: prolificEvent(type),
  read: (data) => fromProlific.parseEvents(data, headers)?.[0],
}));

describe.each([...TOLOKA, ...PROLIFIC])("$type", ({ type, schema, data, read }) => {
  test("is seen to fit without its schema, as it is documented", () => {
    const safeParse = vi.spyOn(schema as { safeParse(data: unknown): unknown }, "safeParse");
    expect(read(data)).toMatchObject({ type });
    expect(read(data)).not.toHaveProperty("problems");
    expect(safeParse).not.toHaveBeenCalled();
  });

  const fields = Object.keys(data).filter((field) => field !== "type" && field !== "event_type");
  test.each(fields)("is judged by its schema where %s is no text", (field) => {
    const safeParse = vi.spyOn(schema as { safeParse(data: unknown): unknown }, "safeParse");
    expect(read({ ...data, [field]: 7 })?.problems).toEqual([`${field}: expected string`]);
    expect(safeParse).toHaveBeenCalledOnce();
  });
});

describe("a time", () => {
  let n = 0;
  /** As a number; and by which of the ways it was read. */
  const read = (event_time: string) => {
    // Whatever was read last, it is not this.
    fromToloka.parseEvents({ events: [{ event_time: `another ${n++}` }] });
    const parse = vi.spyOn(Date, "parse");
    const time = fromToloka.parseEvents({ events: [{ event_time }] })?.[0]?.occurredAt?.getTime();
    const { length } = parse.mock.calls;
    parse.mockRestore();
    return [time, length];
  };

  test.each([
    ...["01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31"].map(
      (day) => `2026-${day}T12:22:58`,
    ),
    "2026-11-30T12:22:58",
    "2026-12-31T23:59:59",
    "2026-12-01T00:00:00",
    "2345-10-19T06:07:08",
    "0100-01-01T00:00:00",
  ])("such as %s is read without Date.parse", (event_time) => {
    expect(read(event_time)).toEqual([Date.parse(`${event_time}Z`), 0]);
  });

  test.each([
    "2024-02-29T12:22:58",
    "0099-12-31T23:59:59",
    "2026-12-31T23:59:59.5",
    "2026-12-31T23:59",
    "2026-12-31T23:59:59Z",
    "2026-12-31T24:00:00",
  ])("such as %s is read by Date.parse", (event_time) => {
    const withOffset = event_time.endsWith("Z") ? event_time : `${event_time}Z`;
    expect(read(event_time)).toEqual([Date.parse(withOffset), 1]);
  });

  test("that is the same as that of the event before is not read again", () => {
    const event_time = "2026-01-02T03:04:05";
    const utc = vi.spyOn(Date, "UTC");
    const events = [{ event_time }, { event_time }, { event_time: "2026-01-02T03:04:06" }, { event_time }];
    const times = fromToloka.parseEvents({ events })?.map(({ occurredAt }) => occurredAt?.getUTCSeconds());
    expect(times).toEqual([5, 5, 6, 5]);
    expect(utc).toHaveBeenCalledTimes(3);
  });

  test("has milliseconds, of however many digits its fraction is", () => {
    for (const fraction of ["012", "0123", "0123456789", "01234567890123456789"]) {
      expect(read(`2026-01-02T03:04:05.${fraction}`)[0]).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 12));
    }
  });
});

describe("Toloka's header", () => {
  const read = (header: string) => {
    const split = vi.spyOn(String.prototype, "split");
    const parts = parseSignature({ get: () => header });
    const { length } = split.mock.calls;
    split.mockRestore();
    return [parts, length];
  };
  const HEX = "0123456789abcdef";
  const digits = (count: number) => "123456789012345".slice(0, count);

  test.each([
    [1, 13, 64],
    [1, 1, 40],
    [2, 15, 63],
    [15, 2, 41],
  ])("is read at once as it is written: v of %d, ts of %d, sign of %d digits", (v, ts, sign) => {
    const hex = HEX.repeat(4).slice(0, sign);
    const header = `{v=${digits(v)}, ts=${digits(ts)}, sign=${hex}}`;
    const timestamp = Number(digits(ts));
    const parts = { prefix: `${timestamp}.${digits(v)}.`, digest: hex.padStart(64, "0"), timestamp };
    expect(read(header)).toEqual([parts, 0]);
  });

  test("is read field by field where it is written otherwise", () => {
    const sign = HEX.repeat(4);
    const parts = { prefix: "1.1.", digest: sign, timestamp: 1 };
    for (const header of [`{v=1,ts=1,sign=${sign}}`, `{v=1, ts=1, sign=${sign}, kid=1}`]) {
      expect(read(header)).toEqual([parts, 1]);
    }
  });
});

import assert from "node:assert/strict";
import type { ReceivedEvent } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import fc from "fast-check";
import { afterEach, describe } from "vitest";
import { anyText, jsonValue, type ProviderName } from "./fuzz-deliveries.js";
import { digitsOf, property } from "./fuzz-property.js";
import { isObject } from "./fuzz-receivers.js";

type Fits = (value: unknown) => boolean;
const isText: Fits = (value) => typeof value === "string";
const isListOf =
  (fits: Fits): Fits =>
  (value) =>
    Array.isArray(value) && value.every(fits);
const isSeconds: Fits = (value) => typeof value === "string" && /^[0-9]{1,11}$/.test(value);
const isId: Fits = (value) => typeof value === "string" && value.length >= 1 && value.length <= 255;

const TOLOKA_COMMON = {
  uuid: isId,
  event_time: (value: unknown) => timeIn(value) !== undefined,
  project_id: isText,
  pool_id: isText,
};
const TOLOKA_SUBSCRIBED = { ...TOLOKA_COMMON, webhook_subscription_id: isText };
const TOLOKA_ASSIGNMENT = { ...TOLOKA_SUBSCRIBED, task_suite_id: isText, assignment_id: isText };
/** Those in capitals are headers. */
const PROLIFIC_COMMON = { resource_id: isText, "X-Event-ID": isId, "X-Timestamp": isSeconds };

/** The fields of each type, by the platforms' documentation. */
/** The platforms have sent events that lack the field, or have it as null. */
const orMissing =
  (fits: Fits): Fits =>
  (value) =>
    value === undefined || value === null || fits(value);

const FIELDS: Record<ProviderName, ReadonlyMap<unknown, Readonly<Record<string, Fits>>>> = {
  toloka: new Map<unknown, Readonly<Record<string, Fits>>>([
    ["POOL_CLOSED", { ...TOLOKA_SUBSCRIBED, close_reason: isText }],
    ["ASSIGNMENT_CREATED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_SUBMITTED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_SKIPPED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_EXPIRED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_APPROVED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_REJECTED", TOLOKA_ASSIGNMENT],
    [
      "DYNAMIC_OVERLAP_COMPLETED",
      {
        ...TOLOKA_SUBSCRIBED,
        task_id: isText,
        confidence: Number.isFinite,
        assignment_ids: orMissing(isListOf(isText)),
        output_values: (value) => isObject(value) || isListOf(isObject)(value),
      },
    ],
    ["TEST_EVENT", TOLOKA_COMMON],
  ]),
  prolific: new Map<unknown, Readonly<Record<string, Fits>>>([
    ["submission.status.change", { ...PROLIFIC_COMMON, participant_id: isText, status: isText }],
    ["study.status.change", { ...PROLIFIC_COMMON, metadata: orMissing(isObject), status: isText }],
    ["study.progress.change", PROLIFIC_COMMON],
    ["study.has_high_return_rate", { ...PROLIFIC_COMMON, metadata: orMissing(isObject) }],
  ]),
};

/** Unix time in milliseconds of an ISO 8601 text; what has no offset is in UTC. */
function timeIn(text: unknown): number | undefined {
  const form = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(?:Z|([+-])(\d\d):?(\d\d))?$/;
  const parts = form.exec(typeof text === "string" ? text : "");
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", sign, hours, minutes] = parts;
  const isWithin = (value: string | undefined, min: number, max: number) =>
    value === undefined || (Number(value) >= min && Number(value) <= max);
  const isMidnight = hour === "24" && !/[1-9]/.test(`${minute}${second ?? ""}${fraction}`);
  if (!isWithin(month, 1, 12)) return undefined;
  if (!isWithin(hour, 0, 23) && !isMidnight) return undefined;
  if (!isWithin(minute, 0, 59) || !isWithin(second, 0, 59)) return undefined;
  if (!isWithin(hours, 0, 23) || !isWithin(minutes, 0, 59)) return undefined;
  // Not by Date.UTC, which takes the years up to 99 for others.
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  // Not every month has every day.
  if (date.getUTCDate() !== Number(day)) return undefined;
  const offset = Number(`${sign ?? ""}1`) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
  const ofDay = (Number(hour) * 60 + Number(minute) - offset) * 60 + Number(second ?? 0);
  return date.getTime() + ofDay * 1000 + Number(fraction.slice(1, 4).padEnd(3, "0"));
}

/** Texts that are a time, or nearly. */
const timeText = fc
  .tuple(
    fc.integer({ min: 0, max: 9999 }),
    fc.integer({ min: 0, max: 13 }),
    fc.integer({ min: 0, max: 32 }),
    fc.integer({ min: 0, max: 25 }),
    fc.integer({ min: 0, max: 61 }),
    fc.option(fc.integer({ min: 0, max: 61 }), { nil: undefined }),
    fc.oneof(
      fc.constant(""),
      digitsOf(15).map((digits) => `.${digits}`),
    ),
    fc.constantFrom(
      "",
      "",
      "",
      "Z",
      "z",
      "+03:00",
      "-0330",
      "+14:00",
      "+23:59",
      "+24:00",
      "+05",
      "+03:60",
      " ",
    ),
  )
  .map(([year, month, day, hour, minute, second, fraction, zone]) => {
    const two = (n: number) => String(n).padStart(2, "0");
    const seconds = second === undefined ? "" : `:${two(second)}${fraction}`;
    return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}${seconds}${zone}`;
  });

/** Fields replaced by any value, left out (`undefined`), or added. */
const edits = (names: readonly string[]) =>
  fc.array(
    fc.tuple(
      fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, anyText),
      fc.oneof(
        jsonValue,
        timeText,
        fc.constant(undefined),
        fc.integer({ min: 254, max: 257 }).map((length) => "x".repeat(length)),
        fc.constantFrom<unknown>({}, [{}], [{}, []], ["a", "b"], ["a", 1], 0.155, "0.155", "2020-02-14"),
      ),
    ),
    { maxLength: 3 },
  );

function edited(event: object, changes: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries([...Object.entries(event), ...changes]);
}

/** Holds an event to what was sent: nothing lost, and judged as the platform's documentation has it. */
function assertJudged(
  name: ProviderName,
  event: ReceivedEvent | undefined,
  sent: {
    type: unknown;
    id: unknown;
    time: number | undefined;
    data: unknown;
    valueOf: (field: string) => unknown;
  },
): void {
  assert.ok(event);
  assert.deepEqual(event.data, sent.data);
  assert.equal(event.provider, name);
  assert.equal(event.type, typeof sent.type === "string" ? sent.type : "");
  // A whole number is read as an id, too, although it does not fit these platforms' events.
  const isNumber = Number.isSafeInteger(sent.id) && (sent.id as number) >= 0;
  assert.equal(event.id, isNumber ? String(sent.id) : isId(sent.id) ? sent.id : "");
  assert.equal(event.occurredAt?.getTime(), sent.time);
  const fields = FIELDS[name].get(sent.type);
  const wrong = Object.entries(fields ?? {}).filter(([field, fits]) => !fits(sent.valueOf(field)));
  if (fields === undefined) {
    assert.equal(event.problems?.length, event.type === "" ? 1 : 0);
  } else if (wrong.length === 0) {
    assert.equal(event.problems, undefined);
  } else {
    assert.ok(event.problems && event.problems.length > 0);
    for (const problem of event.problems) {
      assert.ok(
        wrong.some(([field]) => problem.startsWith(`${field}:`) || problem.startsWith(`${field}.`)),
        problem,
      );
    }
  }
}

describe("events", () => {
  const tolokaFields = [...new Set([...FIELDS.toloka.values()].flatMap(Object.keys)), "type"];
  property(
    "toloka: an event of any fields keeps all of them, and is judged as the documentation has it",
    20_000,
    fc.asyncProperty(
      fc.constantFrom(...toloka.eventTypes),
      timeText,
      edits(tolokaFields),
      async (type, event_time, changes) => {
        const text = JSON.stringify({
          events: [edited(tolokaEvent(type, { uuid: "uuid-1", event_time }), changes)],
        });
        const data = JSON.parse(text).events[0];
        const events = toloka.parseEvents(JSON.parse(text), { get: () => null }, 0) ?? [];
        assert.equal(events.length, 1);
        const time = timeIn(data.event_time);
        assertJudged("toloka", events[0] as ReceivedEvent | undefined, {
          type: data.type,
          id: data.uuid,
          time,
          data,
          valueOf: (field) => data[field],
        });
      },
    ),
  );

  const prolificFields = [...new Set([...FIELDS.prolific.values()].flatMap(Object.keys))];
  property(
    "prolific: an event of any fields keeps all of them, and is judged as the documentation has it",
    20_000,
    fc.asyncProperty(
      fc.oneof(fc.constantFrom(...prolific.eventTypes), anyText),
      edits(prolificFields),
      fc.option(fc.oneof(fc.uuid(), anyText, fc.constantFrom("x".repeat(255), "x".repeat(256))), {
        nil: undefined,
      }),
      fc.option(fc.oneof(digitsOf(12), anyText, timeText), { nil: undefined }),
      async (event_type, changes, id, seconds) => {
        const sample = prolificEvent(event_type as (typeof prolific.eventTypes)[number]);
        const text = JSON.stringify({ ...edited(sample, changes), event_type });
        const data = JSON.parse(text);
        const headers = { get: (header: string) => ({ "x-event-id": id, "x-timestamp": seconds })[header] };
        const events = prolific.parseEvents(JSON.parse(text), headers, 0) ?? [];
        assert.equal(events.length, 1);
        const time = isSeconds(seconds) ? Number(seconds) * 1000 : undefined;
        const all = { ...data, "X-Event-ID": id, "X-Timestamp": seconds };
        assertJudged("prolific", events[0] as ReceivedEvent | undefined, {
          type: event_type,
          id,
          time,
          data,
          valueOf: (field) => all[field],
        });
      },
    ),
  );

  /** Minutes behind UTC on the first of July 2020. */
  const ZONES = {
    UTC: 0,
    "Asia/Kathmandu": -345,
    "America/St_Johns": 150,
    "Pacific/Kiritimati": -840,
    "Pacific/Marquesas": 570,
    "Australia/Lord_Howe": -630,
    "America/New_York": 240,
    "Europe/Dublin": -60,
  };
  const zoneHere = process.env.TZ;
  afterEach(() => {
    if (zoneHere === undefined) delete process.env.TZ;
    else process.env.TZ = zoneHere;
  });

  property(
    "toloka: an event occurred at its time in UTC, to the millisecond, in whatever zone the process runs",
    10_000,
    fc.asyncProperty(
      fc.constantFrom(...(Object.keys(ZONES) as (keyof typeof ZONES)[])),
      fc.integer({ min: Date.UTC(1000, 0), max: Date.UTC(9999, 11, 31) }),
      fc.nat({ max: 3 }),
      fc.constantFrom("", "Z", "+00:00", "-0000"),
      async (zone, time, decimals, offset) => {
        process.env.TZ = zone;
        assert.equal(new Date(2020, 6, 1).getTimezoneOffset(), ZONES[zone]);
        const step = 10 ** (3 - decimals);
        const written = Math.floor(time / step) * step;
        const event_time =
          new Date(written).toISOString().slice(0, decimals === 0 ? 19 : 20 + decimals) + offset;
        const [event] =
          toloka.parseEvents(
            { events: [tolokaEvent("POOL_CLOSED", { event_time })] },
            { get: () => null },
            0,
          ) ?? [];
        assert.equal(event?.problems, undefined);
        assert.equal(event?.occurredAt?.getTime(), written);
      },
    ),
  );
});

import { describe, expect, test } from "vitest";
import { type ProlificEventType, parseEvents } from "../src/providers/prolific/events.js";
import { prolific } from "../src/providers/prolific/index.js";
import { parseSignature } from "../src/providers/prolific/signature.js";
import { prolificEvent } from "../src/testing.js";

/** The base64 of 32 bytes. */
const SIGN = "YJrz7v1MErav9DqzBFbvzSH+gvQkfTNAFRo8oMl6bLs=";
const DIGEST = "609af3eefd4c12b6aff43ab30456efcd21fe82f4247d3340151a3ca0c97a6cbb";

describe("the signature", () => {
  const read = (signature: string | null | undefined, timestamp: string | null | undefined) =>
    parseSignature({
      get: (name) =>
        ({
          "x-prolific-request-signature": signature,
          "x-prolific-request-timestamp": timestamp,
        })[name],
    });

  test("is read as hex, its time in seconds as milliseconds, and the time's own digits are kept", () => {
    expect(read(SIGN, "1700000000")).toEqual({
      prefix: "1700000000",
      digest: DIGEST,
      timestamp: 1_700_000_000_000,
    });
    expect(read(SIGN, "07")).toMatchObject({ prefix: "07", timestamp: 7_000 });
    expect(read(SIGN, "99999999999")).toMatchObject({ timestamp: 99_999_999_999_000 });
  });

  test("of zeros alone has all of its digits", () => {
    expect(read(`${"A".repeat(43)}=`, "1")).toMatchObject({ digest: "0".repeat(64) });
  });

  test.each([null, undefined, ""])("%j is a missing signature", (signature) => {
    expect(read(signature, "1700000000")).toBe("SIGNATURE_MISSING");
  });

  test.each([
    ["without a time", SIGN, undefined],
    ["with an empty time", SIGN, ""],
    ["with a time that is no integer", SIGN, "1700000000.5"],
    ["with a negative time", SIGN, "-1"],
    ["with a time with junk in front", SIGN, "x1700000000"],
    ["with a time of 12 digits", SIGN, "1".repeat(12)],
    ["that is shorter", SIGN.slice(4), "1"],
    ["that is longer", `YJrz${SIGN}`, "1"],
    ["with junk behind", `${SIGN}x`, "1"],
    ["without its padding", SIGN.slice(0, -1), "1"],
    ["in base64 for URLs", SIGN.replace("+", "-"), "1"],
    ["with bits to spare that are not zero", SIGN.replace("bLs=", "bLt="), "1"],
  ])("%s is malformed", (_, signature, timestamp) => {
    expect(read(signature, timestamp)).toBe("SIGNATURE_MALFORMED");
  });
});

describe("the events", () => {
  const read = (
    body: unknown,
    id: string | null | undefined = "event-1",
    time: string | null | undefined = "1700000000",
  ) => parseEvents(body, { get: (name) => ({ "x-event-id": id, "x-timestamp": time })[name] });

  test("there are four types, under a name and a path of their own, with ids that are not signed", () => {
    expect(prolific.eventTypes).toHaveLength(4);
    expect(prolific).toMatchObject({
      name: "prolific",
      defaultPath: "/prolific-webhook",
      signsEventIds: false,
    });
  });

  test.each(prolific.eventTypes)(
    "%s is recognized, its data kept as it is, unknown fields and all",
    (type: ProlificEventType) => {
      const data = prolificEvent(type, { added_later: { deep: [1, null] } });
      const [event, ...others] = read(data) ?? [];
      expect(others).toEqual([]);
      expect(event).toEqual({
        provider: "prolific",
        type,
        id: "event-1",
        occurredAt: new Date(1_700_000_000_000),
        data,
      });
      expect(event?.data).toBe(data);
    },
  );

  test.each(["", undefined, null, "x".repeat(256)])(
    "an id that is missing, empty or too long is none: %j",
    (id) => {
      expect(
        parseEvents(prolificEvent("study.progress.change"), {
          get: (name) => (name === "x-event-id" ? id : "1700000000"),
        }),
      ).toMatchObject([{ id: "", problems: ["X-Event-ID: expected a header of 1 to 255 characters"] }]);
    },
  );

  test("an id of 255 characters is one", () => {
    expect(read(prolificEvent("study.progress.change"), "x".repeat(255))?.[0]?.problems).toBeUndefined();
  });

  test.each(["", null, "now", "1.5", "x1", "1x", "1".repeat(12)])("the time %j cannot be read", (time) => {
    expect(read(prolificEvent("study.progress.change"), "event-1", time)).toMatchObject([
      { occurredAt: undefined, problems: ["X-Timestamp: expected Unix time in seconds"] },
    ]);
  });

  test.each([null, [], "text", 7, {}, { event_type: 7 }, { event_type: null }])(
    "%j is not an event object",
    (body) => {
      expect(read(body)).toBeUndefined();
    },
  );

  test("an event of a type to come has no problems that are named", () => {
    expect(read({ event_type: "constructor" })).toMatchObject([{ type: "constructor", problems: [] }]);
  });

  test("what fits no type is told by name and shape, never by value", () => {
    const [event] =
      read(prolificEvent("study.status.change", { status: ["hunter2"], metadata: "hunter2" })) ?? [];
    expect(event?.problems).toEqual(["metadata: expected record", "status: expected string"]);
  });

  test("are about their study or submission, and about nothing where none is named", () => {
    const subjectOf = (data: unknown) => prolific.subjectOf(read(data)?.[0] as never);
    expect(subjectOf(prolificEvent("study.progress.change", { resource_id: "study-1" }))).toBe("study-1");
    expect(subjectOf({ event_type: "NEW" })).toBeUndefined();
    expect(subjectOf({ event_type: "NEW", resource_id: 7 })).toBeUndefined();
  });
});

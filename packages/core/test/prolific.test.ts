import { describe, expect, test } from "vitest";
import { type ProlificEventType, prolific } from "../src/providers/prolific/index.js";
import { prolificEvent } from "../src/testing.js";

/** 32 bytes in base64, and below in hex. */
const SIGN = "YJrz7v1MErav9DqzBFbvzSH+gvQkfTNAFRo8oMl6bLs=";
const DIGEST = "609af3eefd4c12b6aff43ab30456efcd21fe82f4247d3340151a3ca0c97a6cbb";

describe("parseSignature", () => {
  const read = (signature: string | null | undefined, timestamp: string | null | undefined) =>
    prolific.parseSignature({
      get: (name) =>
        ({
          "x-prolific-request-signature": signature,
          "x-prolific-request-timestamp": timestamp,
        })[name],
    });

  test("parseSignature returns the digest in hex, the time in milliseconds and the time's own digits as the prefix", () => {
    expect(read(SIGN, "1700000000")).toEqual({
      prefix: "1700000000",
      digest: DIGEST,
      timestamp: 1_700_000_000_000,
    });
    expect(read(SIGN, "07")).toMatchObject({ prefix: "07", timestamp: 7_000 });
    expect(read(SIGN, "99999999999")).toMatchObject({ timestamp: 99_999_999_999_000 });
  });

  test("parseSignature keeps all digits when the digest is zero", () => {
    expect(read(`${"A".repeat(43)}=`, "1")).toMatchObject({ digest: "0".repeat(64) });
  });

  test.each([null, undefined, ""])(
    "parseSignature returns SIGNATURE_MISSING when the header is %j",
    (signature) => {
      expect(read(signature, "1700000000")).toBe("SIGNATURE_MISSING");
    },
  );

  test.each([
    ["without a time", SIGN, undefined],
    ["with an empty time", SIGN, ""],
    ["with a fractional time", SIGN, "1700000000.5"],
    ["with a negative time", SIGN, "-1"],
    ["with junk before the time", SIGN, "x1700000000"],
    ["with a time of 12 digits", SIGN, "1".repeat(12)],
    ["that is too short", SIGN.slice(4), "1"],
    ["that is too long", `YJrz${SIGN}`, "1"],
    ["with junk behind", `${SIGN}x`, "1"],
    ["without its padding", SIGN.slice(0, -1), "1"],
    ["in base64 for URLs", SIGN.replace("+", "-"), "1"],
    ["with unused bits that are not zero", SIGN.replace("bLs=", "bLt="), "1"],
  ])("parseSignature returns SIGNATURE_MALFORMED for a signature %s", (_, signature, timestamp) => {
    expect(read(signature, timestamp)).toBe("SIGNATURE_MALFORMED");
  });
});

describe("parseEvents", () => {
  const read = (
    body: unknown,
    id: string | null | undefined = "event-1",
    time: string | null | undefined = "1700000000",
  ) => prolific.parseEvents(body, { get: (name) => ({ "x-event-id": id, "x-timestamp": time })[name] }, 0);

  test("the provider has four event types, its own name and default path, and unsigned event ids", () => {
    expect(prolific.eventTypes).toHaveLength(4);
    expect(prolific).toMatchObject({
      name: "prolific",
      defaultPath: "/prolific-webhook",
      signsEventIds: false,
    });
  });

  test.each(prolific.eventTypes)(
    "parseEvents recognizes %s and keeps its data, unknown fields included",
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
    "parseEvents returns an empty id and a problem when the id header is %j",
    (id) => {
      expect(
        prolific.parseEvents(
          prolificEvent("study.progress.change"),
          { get: (name) => (name === "x-event-id" ? id : "1700000000") },
          0,
        ),
      ).toMatchObject([{ id: "", problems: ["X-Event-ID: expected a header of 1 to 255 characters"] }]);
    },
  );

  test("parseEvents accepts an id of 255 characters", () => {
    expect(read(prolificEvent("study.progress.change"), "x".repeat(255))?.[0]?.problems).toBeUndefined();
  });

  test.each(["", null, "now", "1.5", "x1", "1x", "1".repeat(12)])(
    "parseEvents returns no time and a problem when the time header is %j",
    (time) => {
      expect(read(prolificEvent("study.progress.change"), "event-1", time)).toMatchObject([
        { occurredAt: undefined, problems: ["X-Timestamp: expected Unix time in seconds"] },
      ]);
    },
  );

  test.each([null, [], "text", 7, {}, { event_type: 7 }, { event_type: null }])(
    "parseEvents returns undefined when the body is %j",
    (body) => {
      expect(read(body)).toBeUndefined();
    },
  );

  test("parseEvents returns an empty list of problems when the type is unknown", () => {
    expect(read({ event_type: "constructor" })).toMatchObject([{ type: "constructor", problems: [] }]);
  });

  test("problems name fields and expected types, and never quote values", () => {
    const [event] =
      read(prolificEvent("study.status.change", { status: ["hunter2"], metadata: "hunter2" })) ?? [];
    expect(event?.problems).toEqual(["metadata: expected object", "status: expected string"]);
  });

  test("subjectOf returns the study or submission, and undefined when the event names none", () => {
    const subjectOf = (data: unknown) => prolific.subjectOf(read(data)?.[0] as never);
    expect(subjectOf(prolificEvent("study.progress.change", { resource_id: "study-1" }))).toBe("study-1");
    expect(subjectOf({ event_type: "NEW" })).toBeUndefined();
    expect(subjectOf({ event_type: "NEW", resource_id: [7] })).toBeUndefined();
  });
});

import { describe, expect, test } from "vitest";
import { receiverWith } from "./deliveries.js";

describe("options", () => {
  test.each<[string, object, RegExp]>([
    [
      "unsigned as text",
      { secret: undefined, unsigned: "false" },
      /unsigned must be true or false, not "false"/,
    ],
    ["detectStale as text", { detectStale: "no" }, /detectStale must be true or false, not "no"/],
    ["claims that are null", { claims: null }, /claims must have the method claim/],
    ["claims without methods", { claims: {} }, /claims must have the method claim/],
    ["a sink that is a function", { sink: async () => {} }, /sink must have the method accept/],
    ["a negative tolerance", { tolerance: -1 }, /tolerance must be a number of seconds, 0 or more.*not -1/],
    ["a tolerance as text", { tolerance: "300" }, /tolerance .* not "300"/],
    ["a maxBodySize of 0", { maxBodySize: 0 }, /maxBodySize must be a positive whole number of bytes, not 0/],
    [
      "a clock that is a number",
      { clock: 0 },
      /clock must be a function that returns Unix time in milliseconds/,
    ],
    ["a secret beside unsigned", { unsigned: true }, /Both a secret and .* are set/],
    [
      "no secret",
      { secret: undefined },
      /The secret is undefined. Set the environment variable TOLOKA_SECRET/,
    ],
    ["an empty secret", { secret: "" }, /The secret is empty/],
    ["an empty list of secrets", { secret: [] }, /The list of secrets is empty/],
    ["a secret that is null", { secret: [null] }, /A secret must be a string, not null/],
    ["a secret with a line break", { secret: "12345\n" }, /begins or ends with white space/],
    ["a maxEvents of 0", { maxEvents: 0 }, /maxEvents must be a positive whole number, not 0/],
    ["an infinite maxEvents", { maxEvents: Number.POSITIVE_INFINITY }, /maxEvents .* not Infinity/],
    ["a maxInFlight of 0", { maxInFlight: 0 }, /maxInFlight must be a positive whole number, not 0/],
    ["an infinite maxInFlight", { maxInFlight: Number.POSITIVE_INFINITY }, /maxInFlight .* not Infinity/],
    [
      "a fractional concurrency",
      { concurrency: 0.5 },
      /concurrency must be a positive whole number, not 0.5/,
    ],
    ["a concurrency as text", { concurrency: "16" }, /concurrency must be a positive whole number, not "16"/],
    ["a timeout of 0", { timeout: 0 }, /timeout must be a number of seconds, above 0/],
    ["a timeout that is NaN", { timeout: Number.NaN }, /timeout .* not NaN/],
    ["a timeout in milliseconds", { timeout: 30_000 }, /at most 3600, not 30000.*Use a sink/],
    [
      "an orderingKey that is not a function",
      { orderingKey: "assignment_id" },
      /orderingKey must be a function that returns/,
    ],
    [
      "an observe that is not a function",
      { observe: {} },
      /observe must be a function that takes the record/,
    ],
    ["an instrumentation without the method event", { instrumentation: { delivery() {} } }, /method event/],
    [
      "a concurrency beside a sink",
      { sink: { accept() {} }, concurrency: 2 },
      /concurrency has no effect with a sink.*sink\.work/,
    ],
    [
      "an orderingKey beside a sink",
      { sink: { accept() {} }, orderingKey: () => "x" },
      /orderingKey has no effect with a sink.*Pass orderingKey to pgBossSink/,
    ],
  ])("createReceiver throws and names the mistake when it gets %s", (_, options, message) => {
    expect(() => receiverWith(options)).toThrow(message);
  });
});

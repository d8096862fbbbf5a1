import { createReceiver } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import { desiredFrom } from "@crowdhook/subscriptions";
import { describe, expect, test } from "vitest";
import { form, PROLIFIC_URL, startApis, TOLOKA_URL } from "./subscriptions-clients.js";

const { tolokaClient, prolificClient } = await startApis();

describe("desiredFrom", () => {
  const secret = "12345";
  const poolIds = ["1", "2"];

  test("desiredFrom returns a form for each listened type in each pool", async () => {
    const receiver = createReceiver(toloka, { secret });
    receiver.on(["ASSIGNMENT_CREATED", "POOL_CLOSED", "TEST_EVENT"], () => {});
    const desired = desiredFrom(receiver, { url: TOLOKA_URL, poolIds, secret });
    expect(desired).toEqual(
      poolIds.flatMap((pool) =>
        ["POOL_CLOSED", "ASSIGNMENT_CREATED"].map((type) => ({ ...form(type, pool), secret_key: secret })),
      ),
    );
    expect((await tolokaClient().sync(desired)).create).toHaveLength(4);
  });

  test("desiredFrom returns all types but TEST_EVENT with onAny", () => {
    const receiver = createReceiver(toloka, { secret });
    receiver.onAny(() => {});
    const types = desiredFrom(receiver, { url: TOLOKA_URL, poolIds: ["1"] }).map(
      ({ event_type }) => event_type,
    );
    expect(types).toHaveLength(8);
    expect(types).not.toContain("TEST_EVENT");
  });

  test("desiredFrom returns forms of a type and the URL for Prolific", async () => {
    const receiver = createReceiver(prolific, { secret });
    receiver.on("study.status.change", () => {});
    const desired = desiredFrom(receiver, { url: PROLIFIC_URL });
    expect(desired).toEqual([{ event_type: "study.status.change", target_url: PROLIFIC_URL }]);
    expect((await prolificClient().sync(desired)).create).toEqual(desired);
  });

  test("desiredFrom names the mistake when an argument is invalid", () => {
    const receiver = createReceiver(toloka, { secret });
    const make =
      (options: object, of: unknown = receiver) =>
      () =>
        desiredFrom(of as typeof receiver, { url: TOLOKA_URL, poolIds, ...options });
    receiver.on("TEST_EVENT", () => {});
    expect(make({})).toThrow(/no listener for a type that can be subscribed to/);
    receiver.on("POOL_CLOSED", () => {});
    expect(make({ url: "example.com" })).toThrow(/url must be the full URL/);
    expect(make({ poolIds: [] })).toThrow(/poolIds must be a list of at least one pool/);
    expect(make({ poolIds: [1] })).toThrow(/poolIds\[0\] must be a string/);
    expect(make({ secret: "" })).toThrow(/secret must not be empty/);
    expect(make({}, { receiver })).toThrow(/pass webhook\.receiver/);
    const hook = createReceiver(prolific, { secret });
    hook.onAny(() => {});
    expect(() => desiredFrom(hook, { url: "http://example.com" })).toThrow(/url must begin with "https:/);
  });
});

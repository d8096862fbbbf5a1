import assert from "node:assert/strict";
import { prolificEvent, tolokaEvent } from "@crowdhook/core/testing";
import fc from "fast-check";
import { headersIn, type ProviderName, sign } from "./fuzz-deliveries.js";
import { programs, run, setups } from "./fuzz-model.js";
import { property } from "./fuzz-property.js";
import { codeOf, listening, NOW, SECRET, signedLines } from "./fuzz-receivers.js";

const POOL = ["12345", "123456", "sécret", "🗝️".repeat(30)];
const addressed = fc.record({
  name: fc.constantFrom<ProviderName[]>("toloka", "prolific"),
  secret: fc.constantFrom(...POOL),
});

property(
  "receivers side by side each take what was signed for them, whatever else they are in the midst of",
  1_500,
  fc.asyncProperty(
    fc.array(addressed, { minLength: 2, maxLength: 4 }),
    fc.array(addressed, { minLength: 1, maxLength: 4 }),
    fc.scheduler(),
    async (receivers, deliveries, scheduler) => {
      const later = <T>(value: T) => scheduler.schedule(Promise.resolve(value));
      const sent = deliveries.map(({ name, secret }, i) => {
        const event =
          name === "toloka"
            ? { events: [tolokaEvent("TEST_EVENT", { uuid: `${i}` })] }
            : prolificEvent("study.progress.change", { resource_id: `${i}` });
        return sign(name, secret, { id: `${i}`, signedAt: NOW, body: JSON.stringify(event) });
      });
      const listeners = receivers.map(({ name, secret }) =>
        listening(name, { secret: () => later(secret), clock: () => NOW }),
      );
      const replies = listeners.map(({ receiver }) =>
        sent.map(({ lines, body }) =>
          receiver.handle({
            method: "POST",
            headers: headersIn("record", lines),
            body: () => later(body),
          }),
        ),
      );
      await scheduler.waitFor(Promise.all(replies.flat()));
      for (const [i, { handled }] of listeners.entries()) {
        const own = deliveries.flatMap(({ name, secret }, id) =>
          name === receivers[i]?.name && secret === receivers[i]?.secret ? `${id}` : [],
        );
        assert.deepEqual([...handled].map(({ id }) => id).sort(), own);
        for (const [j, reply] of (await Promise.all(replies[i] ?? [])).entries()) {
          assert.equal(codeOf(reply) === "", own.includes(`${j}`));
        }
      }
    },
  ),
);

property(
  "bodies nested as deep as they can be are answered like any other",
  60,
  fc.asyncProperty(
    fc.constantFrom<ProviderName[]>("toloka", "prolific"),
    fc.constantFrom(["[", "]"], ['{"a":', "}"], ['[{"events":', "}]"]),
    fc.integer({ min: 1_000, max: 100_000 }),
    fc.constantFrom("", "\n", " "),
    async (name, [open = "", close = ""], depth, after) => {
      const event = name === "toloka" ? tolokaEvent("TEST_EVENT") : prolificEvent("study.progress.change");
      const deep = `${open.repeat(depth)}1${close.repeat(depth)}`;
      const body = Buffer.from(`${JSON.stringify(event).slice(0, -1)},"deep":${deep}}`);
      const headers = headersIn("get", signedLines(name, body, "1"));
      const answer = async (secret: string, bytes: Uint8Array) => {
        const { receiver, handled } = listening(name, { secret, clock: () => NOW });
        return [codeOf(await receiver.handle({ method: "POST", headers, body: bytes })), handled.size];
      };
      assert.deepEqual(await answer(SECRET, body), ["", 1]);
      assert.deepEqual(await answer("another", body), ["SIGNATURE_MISMATCH", 0]);
      // What was added is found out by writing it in other ways, as far as it goes.
      const changed = Buffer.concat([body, Buffer.from(after || "}")]);
      assert.deepEqual(await answer(SECRET, changed), ["SIGNATURE_MISMATCH", 0]);
    },
  ),
);

property(
  "a random program of deliveries, failures and time does to the receivers what it does to a model of them",
  5_000,
  fc.asyncProperty(setups, programs, fc.scheduler(), run),
);

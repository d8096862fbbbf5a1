import { expect, test } from "vitest";
import { type WatchedDelivery, watchedOf } from "../src/internal.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver, type Receiver } from "../src/receiver.js";
import { signToloka, testClock, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";
const silent = { debug() {}, info() {}, warn() {}, error() {} };

function watch(receiver: Receiver): { readonly seen: WatchedDelivery[]; readonly off: () => void } {
  const seen: WatchedDelivery[] = [];
  const off = watchedOf(receiver)?.watch((delivery) => seen.push(delivery)) ?? (() => {});
  return { seen, off };
}

test("a watcher gets the bytes, the events with the errors of their listeners, and the reply", async () => {
  const clock = testClock();
  const receiver = createReceiver(toloka, { secret: SECRET, clock, logger: silent });
  const { seen, off } = watch(receiver as unknown as Receiver);
  const broken = new Error("The database is down.");
  receiver.on("POOL_CLOSED", async () => Promise.reject(broken));
  receiver.on("ASSIGNMENT_CREATED", () => {});
  const events = [tolokaEvent("POOL_CLOSED"), tolokaEvent("ASSIGNMENT_CREATED")];
  const delivery = signToloka({ secret: SECRET, events, timestamp: clock() });
  const reply = await receiver.handle(delivery);
  expect(seen).toHaveLength(1);
  const [watched] = seen;
  expect(watched?.body && Buffer.from(watched.body).toString()).toBe(delivery.body);
  expect(watched?.headers.get("Toloka-Signature")).toBe(delivery.headers["toloka-signature"]);
  expect(watched?.reply).toEqual(reply);
  expect(watched?.events.map(({ event, outcome, errors }) => [event.type, outcome, errors])).toEqual([
    ["POOL_CLOSED", "failed", [broken]],
    ["ASSIGNMENT_CREATED", "handled", []],
  ]);
  off();
  await receiver.handle(delivery);
  expect(seen).toHaveLength(1);
});

test("a watcher gets refused deliveries, and the record for observers has no payload", async () => {
  const records: object[] = [];
  const receiver = createReceiver(toloka, {
    secret: SECRET,
    logger: silent,
    observe: (record) => records.push(record),
  });
  const { seen } = watch(receiver as unknown as Receiver);
  const { body, headers } = signToloka({ secret: "other", events: [tolokaEvent("POOL_CLOSED")] });
  await receiver.handle({ method: "POST", headers, body });
  await receiver.handle({ method: "GET", headers, body: "" });
  expect(seen.map(({ record, events, body }) => [record.code, events.length, body?.byteLength])).toEqual([
    ["SIGNATURE_MISMATCH", 0, body.length],
    ["METHOD_NOT_ALLOWED", 0, undefined],
  ]);
  expect(records).toHaveLength(2);
  expect(JSON.stringify(records)).not.toContain("POOL_CLOSED");
});

test("a watcher that throws changes no reply", async () => {
  const receiver = createReceiver(toloka, { unsigned: true, logger: silent });
  receiver.onAny(() => {});
  watchedOf(receiver)?.watch(() => {
    throw new Error("broken");
  });
  const { body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
  expect((await receiver.handle({ method: "POST", headers: {}, body })).status).toBe(200);
});

test("watchedOf returns the secrets of a receiver, and none for an unsigned one", async () => {
  const delivery = { method: "POST", headers: new Headers(), body: new Uint8Array() };
  const signed = createReceiver(toloka, { secret: ["a", "b"] });
  const unsigned = createReceiver(toloka, { unsigned: true });
  expect(await watchedOf(signed)?.secretsFor(delivery)).toEqual(["a", "b"]);
  expect(await watchedOf(unsigned)?.secretsFor(delivery)).toEqual([]);
  expect(watchedOf({})).toBeUndefined();
});

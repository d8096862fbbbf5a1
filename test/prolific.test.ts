import type { ReceiverOptions } from "@crowdhook/core";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  testClock,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Running, TARGETS } from "./targets.js";

const SECRET = "prolific-secret";
const NOW = 1_700_000_000_000;
const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };
const path = "/prolific-webhook";

describe.each(TARGETS)("$name", (target) => {
  const clock = testClock(NOW);
  const started: Running[] = [];

  beforeEach(() => {
    clock.set(NOW);
    vi.spyOn(console, "error").mockImplementation(() => {});
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(started.splice(0).map((running) => running.close()));
  });

  async function start(options: ReceiverOptions = {}) {
    const running = await target.start({ clock, secret: SECRET, ...options });
    started.push(running);
    const types: string[] = [];
    running.prolific.onAny((event) => types.push(event.type));
    const send = async (delivery: Pick<SignedDelivery, "headers" | "body">) => {
      const answer = await running.send({ path, ...delivery, headers: { ...delivery.headers } });
      return { ...answer, content: JSON.parse(answer.text) as Record<string, unknown> };
    };
    return { ...running, types, send };
  }

  const signed = (options: Partial<Parameters<typeof signProlific>[0]> = {}) =>
    signProlific({
      secret: SECRET,
      timestamp: clock(),
      event: prolificEvent("study.status.change"),
      ...options,
    });

  test("a listener gets the event with its id and time of the headers, and the data as it is", async () => {
    const { prolific, send } = await start();
    const listener = vi.fn();
    prolific.on("submission.status.change", listener);
    const event = prolificEvent("submission.status.change", { status: "A NEW STATUS", added: { later: 1 } });
    expect((await send(signed({ event, id: "e-1", occurredAt: NOW - 60_000 }))).content).toEqual({
      ...NOTHING,
      handled: 1,
    });
    expect(listener.mock.calls[0]?.[0]).toEqual({
      provider: "prolific",
      type: "submission.status.change",
      id: "e-1",
      occurredAt: new Date(NOW - 60_000),
      data: event,
    });
  });

  test.each<[string, Record<string, string | undefined>, RegExp]>([
    ["no id", { "x-event-id": undefined }, /X-Event-ID/],
    ["an id beyond measure", { "x-event-id": "x".repeat(256) }, /X-Event-ID/],
    ["no time", { "x-timestamp": undefined }, /X-Timestamp/],
    ["a time in words", { "x-timestamp": "noon" }, /X-Timestamp/],
  ])("an event with %s fails, and onError learns what is missing", async (_, change, problem) => {
    const { prolific, send } = await start();
    const errors: unknown[] = [];
    prolific.onError((error) => errors.push(error));
    const { headers, body } = signed();
    const changed = Object.entries({ ...headers, ...change }).filter(([, value]) => value !== undefined);
    expect(
      (await send({ headers: Object.fromEntries(changed) as Record<string, string>, body })).status,
    ).toBe(500);
    expect(String(errors[0])).toMatch(problem);
  });

  test("a captured request that is sent again under a new id, within the tolerance, is a duplicate", async () => {
    const { send, types } = await start();
    const { headers, body } = signed();
    expect((await send({ headers, body })).content).toEqual({ ...NOTHING, handled: 1 });
    for (const seconds of [1, 150, 300]) {
      clock.set(NOW + seconds * 1000);
      const replay = { headers: { ...headers, "x-event-id": `forged-${seconds}` }, body };
      expect((await send(replay)).content).toEqual({ ...NOTHING, duplicate: 1 });
    }
    expect(types).toHaveLength(1);
  });

  test("concurrent replays under new ids run nothing but the first", async () => {
    const { send, types } = await start();
    const { headers, body } = signed();
    const replays = Array.from({ length: 10 }, (_, i) => ({
      headers: { ...headers, "x-event-id": `id-${i}` },
      body,
    }));
    const answers = await Promise.all(replays.map(send));
    expect(answers.filter(({ content }) => content.handled === 1)).toHaveLength(1);
    for (const { content } of answers) {
      expect(content.handled === 1 || content.duplicate === 1 || content.code === "EVENT_BUSY").toBe(true);
    }
    expect(types).toHaveLength(1);
  });

  test("an event that failed runs again when it is redelivered with its old id and a new signature", async () => {
    const { prolific, send } = await start();
    let broken = true;
    const listener = vi.fn(() => {
      if (broken) throw new Error("broken");
    });
    prolific.on("study.status.change", listener);
    const event = prolificEvent("study.status.change");
    expect((await send(signed({ event, id: "e-1" }))).status).toBe(500);
    broken = false;
    clock.advance(60_000);
    expect((await send(signed({ event, id: "e-1" }))).content).toEqual({ ...NOTHING, handled: 1 });
    clock.advance(60_000);
    expect((await send(signed({ event, id: "e-1" }))).content).toEqual({ ...NOTHING, duplicate: 1 });
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("a captured request whose event failed does not run under a new id, so that the redelivery is the only one to", async () => {
    const { prolific, send } = await start();
    let broken = true;
    const listener = vi.fn(() => {
      if (broken) throw new Error("broken");
    });
    prolific.on("study.status.change", listener);
    const event = prolificEvent("study.status.change");
    const { headers, body } = signed({ event, id: "e-1" });
    expect((await send({ headers, body })).status).toBe(500);
    broken = false;
    const replay = { headers: { ...headers, "x-event-id": "forged" }, body };
    expect((await send(replay)).content).toMatchObject({ code: "EVENT_BUSY", busy: 1 });
    clock.advance(60_000);
    expect((await send(signed({ event, id: "e-1" }))).content).toEqual({ ...NOTHING, handled: 1 });
    await send(replay);
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("a captured request that came first and failed does not cost the genuine one its event", async () => {
    const { prolific, send } = await start();
    let broken = true;
    prolific.onAny(() => {
      if (broken) throw new Error("broken");
    });
    const event = prolificEvent("study.status.change");
    const genuine = signed({ event, id: "e-1" });
    const copy = { ...genuine, headers: { ...genuine.headers, "x-event-id": "forged" } };
    expect((await send(copy)).status).toBe(500);
    broken = false;
    expect((await send(genuine)).status).toBe(503);
    clock.advance(60_000);
    expect((await send(signed({ event, id: "e-1" }))).content).toEqual({ ...NOTHING, handled: 1 });
  });

  test("the same request sent again with its own id runs again if its event failed", async () => {
    const { prolific, send } = await start();
    let broken = true;
    prolific.onAny(() => {
      if (broken) throw new Error("broken");
    });
    const delivery = signed();
    expect((await send(delivery)).status).toBe(500);
    broken = false;
    expect((await send(delivery)).content).toEqual({ ...NOTHING, handled: 1 });
  });

  test("a forged id cannot mark another delivery as done", async () => {
    const { send, types } = await start();
    const first = signed({ event: prolificEvent("study.progress.change") });
    const second = signed({ event: prolificEvent("study.status.change") });
    const signature = Buffer.from(second.headers["x-prolific-request-signature"] ?? "", "base64").toString(
      "hex",
    );
    const forged = { ...first, headers: { ...first.headers, "x-event-id": `/signature:${signature}` } };
    expect((await send(forged)).status).toBe(200);
    expect((await send(second)).content).toEqual({ ...NOTHING, handled: 1 });
    expect(types).toHaveLength(2);
  });

  test("a listener is told of an update that is stale", async () => {
    const { prolific, send } = await start({ detectStale: true });
    const seen: [unknown, boolean][] = [];
    prolific.on("submission.status.change", (event, context) =>
      seen.push([event.data.status, context.stale]),
    );
    const update = (status: string, seconds: number, resource_id = "submission-1") =>
      send(
        signed({
          event: prolificEvent("submission.status.change", { status, resource_id }),
          occurredAt: NOW + seconds * 1000,
        }),
      );
    await update("ACTIVE", 0);
    await update("APPROVED", 60);
    await update("AWAITING REVIEW", 30);
    await update("ACTIVE", 10, "submission-2");
    expect(seen).toEqual([
      ["ACTIVE", false],
      ["APPROVED", false],
      ["AWAITING REVIEW", true],
      ["ACTIVE", false],
    ]);
  });

  test("both providers in one app work side by side, and neither takes the other's deliveries", async () => {
    const { webhook, send, types } = await start();
    const heard: string[] = [];
    webhook.onAny((event) => heard.push(`${event.provider} ${event.type}`));
    const running = started[0] as Running;
    const ofToloka = signToloka({ secret: SECRET, timestamp: NOW, events: [tolokaEvent("POOL_CLOSED")] });
    const answers = await Promise.all([
      send(signed()),
      running.send({ ...ofToloka }),
      send(ofToloka),
      running.send({ ...signed() }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 401]);
    expect([...types, ...heard]).toEqual(["study.status.change", "toloka POOL_CLOSED"]);
  });
});

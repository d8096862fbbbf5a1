import { memoryClaims, type ReceivedEvent, type ReceiverOptions, type Recovery } from "@crowdhook/core";
import { describe, expect, test } from "vitest";
import { SEED, useRecovery } from "./recovery-fixture.js";
import { clock, factsAt, factsOf, MINUTE_MS } from "./recovery-platforms.js";
import { PROLIFIC_URL, TOLOKA_URL } from "./subscriptions-clients.js";

const { platforms, start, loseDeliveries: lose } = await useRecovery();

describe.each(["prolific", "toloka"] as const)("%s", (name) => {
  const { client, api, prepare } = platforms[name];
  const loseDeliveries = (options: Partial<ReceiverOptions> = { claims: memoryClaims({ clock }) }) =>
    lose(name, options);

  test("recover runs every event that was lost, and none twice", async () => {
    const { handled, receiver } = await loseDeliveries();
    const before = handled.length;
    const result = await client().recover(receiver);
    expect(factsOf(handled)).toEqual(factsAt(api));
    expect(before).toBeLessThan(handled.length);
    expect(result).toMatchObject({ status: "finished", handled: handled.length - before, failed: 0 });
    expect(handled.slice(before).every(({ recovered }) => recovered)).toBe(true);
    const again = await client().recover(receiver, { since: new Date(clock() - 60 * MINUTE_MS) });
    expect(again).toMatchObject({ handled: 0, duplicate: result.found });
  });

  test("two recoveries at once share no work: one does it and the other one says so", async () => {
    const claims = memoryClaims({ clock });
    const { handled, receiver } = await loseDeliveries({ claims });
    const other = await start(name, handled, { claims });
    const results = await Promise.all([client().recover(receiver), client().recover(other.receiver)]);
    expect(results.map((result) => result.status).sort()).toEqual(["busy", "finished"]);
    expect(String(results.find((result) => result.status === "busy"))).toMatch(/another process recovers/);
    expect(factsOf(handled)).toEqual(factsAt(api));
  });

  test("a dry run lists the events and runs none", async () => {
    const { handled, receiver } = await loseDeliveries();
    const before = handled.length;
    const result = await client().recover(receiver, { dryRun: true });
    expect(handled).toHaveLength(before);
    expect(result).toMatchObject({ dryRun: true, handled: 0, found: result.events.length });
    expect(result.events.length).toBeGreaterThan(0);
    expect(
      String(result)
        .split("\n")
        .filter((line) => line.startsWith("+ ")),
    ).toHaveLength(result.found);
    expect(await receiver.recovery?.checkpoint()).toBeUndefined();
  });

  test("the checkpoint stays before an event that failed, and the next recovery runs it", async () => {
    const happen = prepare();
    const handled: ReceivedEvent[] = [];
    await happen(undefined, SEED);
    const { receiver, webhook } = await start(name, handled);
    let broken: string | undefined;
    const off = webhook.onAny(({ id, data }) => {
      if (!/[37]$/.test(String(Object(data).resource_id ?? Object(data).assignment_id))) return;
      broken ??= id;
      if (broken === id) throw new Error("the database is down");
    });
    const result = await client().recover(receiver);
    const failed = handled.find(({ id }) => id === broken);
    expect(result).toMatchObject({ failed: 1, handled: result.found - 1 });
    expect(Number(result.checkpoint)).toBeLessThanOrEqual(Number(failed?.occurredAt) + 1_000);
    expect(await receiver.recovery?.checkpoint()).toBe(Number(result.checkpoint));
    off();
    expect(await client().recover(receiver)).toMatchObject({ failed: 0, handled: 1 });
    expect(await receiver.recovery?.checkpoint()).toBeGreaterThan(clock() - 2 * MINUTE_MS);
  });

  test("the next recovery begins two minutes before the checkpoint and ends a minute before now", async () => {
    const { receiver } = await loseDeliveries();
    const first = await client().recover(receiver);
    expect(Number(first.until)).toBeCloseTo(clock() - MINUTE_MS, -4);
    expect(first.checkpoint).toEqual(first.until);
    const second = await client().recover(receiver);
    expect(Number(second.since)).toBe(Number(first.checkpoint) - 2 * MINUTE_MS);
  });

  test("a since after the checkpoint leaves the checkpoint, because events between them may be missing", async () => {
    const { receiver } = await loseDeliveries();
    const recovery = receiver.recovery as Recovery;
    await recovery.saveCheckpoint(clock() - 60 * MINUTE_MS);
    const before = await recovery.checkpoint();
    const result = await client().recover(receiver, { since: new Date(clock() - 5 * MINUTE_MS) });
    expect(result.checkpoint).toBeUndefined();
    expect(await recovery.checkpoint()).toBe(before);
  });

  test("a recovery goes back seven days at most", async () => {
    prepare();
    const { receiver } = await start(name, []);
    const recovery = receiver.recovery as Recovery;
    await recovery.saveCheckpoint(clock() - 10 * 24 * 60 * MINUTE_MS);
    const result = await client().recover(receiver);
    expect(Number(result.since)).toBeCloseTo(clock() - recovery.reach, -4);
    expect(String(result)).toMatch(/Recovery goes back 7 days\. Events before .* were not looked for\./);
    await expect(client().recover(receiver, { since: clock() - recovery.reach - 1_000 })).rejects.toThrow(
      /since is more than 7 days ago/,
    );
  });

  test("recover refuses a since in the future", async () => {
    const { receiver } = await start(name, []);
    await expect(client().recover(receiver, { since: clock() + MINUTE_MS })).rejects.toThrow(
      /^since is .*Z, which is in the future\. Pass an earlier time\.$/,
    );
  });

  test("recover finds nothing in a window that has just begun, and saves no checkpoint", async () => {
    const { receiver } = await loseDeliveries();
    expect(await client().recover(receiver, { since: clock() - 1_000 })).toMatchObject({ found: 0 });
    expect(await receiver.recovery?.checkpoint()).toBeUndefined();
  });

  test("recover refuses a receiver that it cannot use and a since that is no time, and names the fix", async () => {
    const { receiver } = await start(name, [], { recoverable: false });
    await expect(client().recover(receiver)).rejects.toThrow(
      "The receiver is not recoverable. Create it with { recoverable: true }.",
    );
    const other = await start(name === "toloka" ? "prolific" : "toloka", []);
    await expect(client().recover(other.receiver)).rejects.toThrow(/Pass the receiver for/);
    const recoverable = await start(name, []);
    await expect(client().recover(recoverable.webhook as never)).rejects.toThrow(
      /Pass the receiver|pass webhook.receiver/,
    );
    for (const since of [Number.NaN, "yesterday", "2026-11-28T10:00:00", {} as never]) {
      await expect(client().recover(recoverable.receiver, { since })).rejects.toThrow(/since must be a Date/);
    }
  });

  test("subscriptions to several URLs need a scope", async () => {
    const handled: ReceivedEvent[] = [];
    await prepare()(undefined, SEED);
    const other = "https://staging.example.com/hook";
    if (name === "prolific")
      platforms.prolific.api.add({ event_type: "study.status.change", target_url: other });
    else platforms.toloka.api.add({ webhook_url: other, event_type: "POOL_CLOSED", pool_id: "7" });
    const { receiver } = await start(name, handled);
    await expect(client().recover(receiver)).rejects.toThrow(/deliver to 2 URLs. Pass scope/);
    const result = await client().recover(receiver, {
      scope: (each: Record<string, unknown>) =>
        [TOLOKA_URL, PROLIFIC_URL].includes(`${each.target_url ?? each.webhook_url}`),
    });
    expect(result.status).toBe("finished");
    expect(factsOf(handled)).toEqual(factsAt(api));
  });

  test("a recovery stops when the sink refuses a whole batch", async () => {
    await prepare()(undefined, SEED);
    let batches = 0;
    const sink = {
      accept() {
        batches++;
        throw new Error("the queue is down");
      },
    };
    const { receiver } = await start(name, [], { sink });
    const result = await client().recover(receiver);
    expect(result.status).toBe("stopped");
    expect(batches).toBe(1);
    expect(await receiver.recovery?.checkpoint()).toBeUndefined();
  });
});

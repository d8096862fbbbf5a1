import { memoryClaims, type ReceiverOptions } from "@crowdhook/core";
import { SubscriptionError } from "@crowdhook/subscriptions";
import { describe, expect, test } from "vitest";
import { SEED, useRecovery } from "./recovery-fixture.js";
import { clock, factsAt, factsOf, MINUTE_MS } from "./recovery-platforms.js";
import { seededRandom } from "./seeded-random.js";
import { status } from "./subscriptions-clients.js";

const { platforms, loseDeliveries: lose } = await useRecovery();

describe.each(["prolific", "toloka"] as const)("%s", (name) => {
  const { client, api } = platforms[name];
  const loseDeliveries = (options: Partial<ReceiverOptions> = { claims: memoryClaims({ clock }) }) =>
    lose(name, options);

  test("a recovery that is interrupted at random moments and meets 429 is completed by the next one", async () => {
    const { handled, receiver } = await loseDeliveries();
    const random = seededRandom(SEED);
    const since = clock() - 60 * MINUTE_MS;
    for (let run = 0; run < 8; run++) {
      const stop = new AbortController();
      const last = run < 2 ? 0 : Math.floor(random() * 2);
      let batches = 0;
      api.nextHandlers.push(status(429, { "Retry-After": "0" }));
      const before = await receiver.recovery?.checkpoint();
      const running = client().recover(receiver, {
        since,
        signal: stop.signal,
        onProgress: () => void (batches++ === last && stop.abort(new Error("interrupted"))),
      });
      const [outcome] = await Promise.allSettled([running]);
      expect(outcome.status).toBe(stop.signal.aborted ? "rejected" : "fulfilled");
      if (stop.signal.aborted) expect(await receiver.recovery?.checkpoint()).toBe(before);
      if (run < 2) expect(outcome).toMatchObject({ reason: new Error("interrupted") });
    }
    await client().recover(receiver, { since });
    expect(factsOf(handled)).toEqual(factsAt(api));
  });

  test.each([
    ["is a list", [1]],
    ["is null", null],
    ["is a page of a proxy", "<html>"],
  ])("an answer that %s ends the recovery, and the next one completes it", async (_, body) => {
    const { handled, receiver } = await loseDeliveries();
    const onProgress = () => void api.nextHandlers.splice(0, 1, () => ({ status: 200, body }));
    await expect(client().recover(receiver, { onProgress })).rejects.toThrow(SubscriptionError);
    expect(await receiver.recovery?.checkpoint()).toBeUndefined();
    expect(await client().recover(receiver)).toMatchObject({ status: "finished" });
    expect(factsOf(handled)).toEqual(factsAt(api));
  });

  test("a 503 in the middle is retried", async () => {
    const { handled, receiver } = await loseDeliveries();
    let failures = 0;
    const onProgress = () => void (failures++ === 0 && api.nextHandlers.push(status(503)));
    expect(await client().recover(receiver, { onProgress })).toMatchObject({ status: "finished" });
    expect(failures).toBeGreaterThan(0);
    expect(factsOf(handled)).toEqual(factsAt(api));
  });

  test("deliveries that arrive while events are recovered run once", async () => {
    const { handled, receiver, url, happen } = await loseDeliveries();
    await Promise.all([client().recover(receiver), happen(url, SEED + 7)]);
    await client().recover(receiver, { since: clock() - 60 * MINUTE_MS });
    expect(factsOf(handled)).toEqual(factsAt(api));
  });
});

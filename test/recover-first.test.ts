import { type ClaimStore, memoryClaims, type ReceivedEvent, type ReceiverOptions } from "@crowdhook/core";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useRecovery } from "./recovery-fixture.js";
import { clock, MINUTE_MS, startReceiver } from "./recovery-platforms.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const { platforms, closing } = await useRecovery();
const missing = redisMissing();
if (missing) console.warn(missing);
let redis: RedisServer;
beforeAll(async () => {
  if (!missing) redis = await redisServer();
});
afterAll(() => redis?.close());

function openRedis(): ClaimStore {
  const client = new Redis(redis.url);
  closing.push(() => client.disconnect());
  return redisClaims({
    sendCommand: (command, ...args) => client.call(command, ...args) as never,
    prefix: `first-${crypto.randomUUID()}:`,
  });
}

/** Returns a sink that keeps times, as a queue does, and the store that it keeps them in. */
function sinkWithTimes(handled: ReceivedEvent[]): Pick<ReceiverOptions, "sink"> {
  const { latestOccurrence, recordOccurrence } = memoryClaims({ clock });
  return {
    sink: {
      accept: (events) => void handled.push(...events),
      latestOccurrence,
      recordOccurrence: (key, time) => recordOccurrence(key, time, Number.POSITIVE_INFINITY),
    },
  };
}

const STORES: [string, (handled: ReceivedEvent[]) => Partial<ReceiverOptions>][] = [
  ["claims in memory", () => ({ claims: memoryClaims({ clock }) })],
  ...(missing ? [] : [["Redis", () => ({ claims: openRedis() })] as [string, () => object]]),
  ["a sink that keeps times", sinkWithTimes],
];

describe.each(["prolific", "toloka"] as const)("%s", (name) => {
  const { client, prepare } = platforms[name];

  describe.each(STORES)("with %s", (_, open) => {
    /** Has facts handled by a receiver that is not recoverable, and later lost by a recoverable one. */
    async function setUp() {
      const happen = prepare();
      const handled: ReceivedEvent[] = [];
      const options = open(handled);
      const start = async (more: Partial<ReceiverOptions>) => {
        const started = await startReceiver(name, handled, { ...options, ...more });
        closing.push(started.close);
        return started;
      };
      const old = await start({ recoverable: false });
      await happen(old.url, 1);
      await old.close();
      // The facts happened 8 minutes before `clock`. `startReceiver` creates a receiver an hour before it.
      const { receiver } = await start({ clock: () => clock() + 55 * MINUTE_MS });
      return { handled, receiver, happen, start };
    }

    test("the first recovery leaves out events from before the receiver was recoverable, and says so", async () => {
      const { handled, receiver } = await setUp();
      const before = [...handled];
      const result = await client().recover(receiver);
      expect(result).toMatchObject({ found: 0, status: "finished" });
      expect(String(result)).toMatch(
        /^! The receiver has been recoverable since .*Z\. Earlier events were not looked for\. To recover them, too, pass since\.$/m,
      );
      expect(handled).toEqual(before);
    });

    test("a since before that time is allowed, and the result warns of it", async () => {
      const { receiver } = await setUp();
      const since = clock() - 60 * MINUTE_MS;
      const result = await client().recover(receiver, { since, dryRun: true });
      expect(result.found).toBeGreaterThan(0);
      expect(String(result)).toMatch(
        /^! The receiver has been recoverable since .*Z\. Events that it handled before that run again\.$/m,
      );
      const later = await client().recover(receiver, { since: clock() + 50 * MINUTE_MS });
      expect(String(later)).not.toContain("has been recoverable");
    });

    test("a restart keeps the time since when the receiver is recoverable", async () => {
      const { receiver, start } = await setUp();
      const first = await receiver.recovery?.recoverableSince();
      const restarted = await start({ clock: () => clock() + 24 * 60 * MINUTE_MS });
      expect(await restarted.receiver.recovery?.recoverableSince()).toBe(first);
    });

    test("a delivery is enough for the receiver to keep that time", async () => {
      const { happen, start } = await setUp();
      const delivered = await start({});
      await happen(delivered.url, 2);
      const restarted = await start({ clock: () => clock() + 65 * MINUTE_MS });
      const since = await restarted.receiver.recovery?.recoverableSince();
      expect(since).toBeCloseTo(clock() - 60 * MINUTE_MS, -5);
      expect((await client().recover(restarted.receiver, { dryRun: true })).found).toBeGreaterThan(0);
    });
  });
});

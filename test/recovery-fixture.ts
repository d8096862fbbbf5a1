import type { ReceivedEvent, ReceiverOptions } from "@crowdhook/core";
import { afterEach } from "vitest";
import { happenAtProlific, happenAtToloka, startReceiver, subscribePool } from "./recovery-platforms.js";
import { PROLIFIC_URL, startApis } from "./subscriptions-clients.js";

/** How many facts a platform makes in each test. */
const COUNT = Number(process.env.RECOVERY_EVENTS ?? 200);
export const SEED = Number(process.env.RECOVERY_SEED ?? 20_261_128);

export type PlatformName = "toloka" | "prolific";

/**
 * Starts both platforms for one test file. After each test it runs the functions of `closing`, the last one
 * first.
 */
export async function useRecovery() {
  const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  /** For each platform, `prepare` returns a function that makes half of the facts happen. */
  const platforms = {
    prolific: {
      client: prolificClient,
      api: prolificApi,
      prepare() {
        prolificApi.pageSize = 100;
        const id = prolificApi.add({ event_type: "submission.status.change", target_url: PROLIFIC_URL });
        return (url: string | undefined, seed: number) =>
          happenAtProlific(prolificApi, id, COUNT / 2, url, { seed });
      },
    },
    toloka: {
      client: tolokaClient,
      api: tolokaApi,
      prepare() {
        subscribePool(tolokaApi, "7");
        subscribePool(tolokaApi, "8");
        return async (url: string | undefined, seed: number) => {
          await happenAtToloka(tolokaApi, "7", COUNT / 16, url, seed);
          await happenAtToloka(tolokaApi, "8", COUNT / 16, url, seed + 1);
        };
      },
    },
  };

  async function start(name: PlatformName, handled: ReceivedEvent[], options: Partial<ReceiverOptions> = {}) {
    const started = await startReceiver(name, handled, options);
    closing.push(started.close);
    return started;
  }

  /** Loses deliveries to a receiver, and all deliveries after its end. Then starts another receiver. */
  async function loseDeliveries(
    name: PlatformName,
    options: Partial<ReceiverOptions>,
    optionsAfterRestart = options,
  ) {
    const happen = platforms[name].prepare();
    const handled: ReceivedEvent[] = [];
    const first = await start(name, handled, options);
    await happen(first.url, SEED);
    await first.close();
    await happen(undefined, SEED + 1);
    const { receiver, url } = await start(name, handled, optionsAfterRestart);
    return { handled, receiver, url, happen };
  }

  return { platforms, closing, start, loseDeliveries };
}

import type { Receiver } from "@crowdhook/core";
import type { ProlificEvents } from "@crowdhook/core/prolific";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { checkSecret, checkTarget, checkText } from "./options.js";
import type { ProlificSubscriptionForm } from "./prolific.js";
import type { TolokaSubscriptionForm } from "./toloka.js";

type Listened<Events extends object> = Pick<Receiver<Events>, "provider" | "listenedTypes">;

/**
 * What has to be subscribed to for a receiver's listeners to hear anything, for `sync`: of Toloka each type
 * that is listened to, in each pool; of Prolific each type. With an `onAny` listener that is every type
 * that this release knows. Call it after the listeners are registered.
 *
 * @throws TypeError for options that cannot work, and if the receiver listens to nothing.
 */
export function desiredFrom(
  receiver: Listened<TolokaEvents>,
  options: {
    /** Where the receiver is mounted, as seen from outside. */
    readonly url: string;
    readonly poolIds: readonly string[];
    /** The receiver's secret; of several the newest. None only if the receiver is `unsigned`. */
    readonly secret?: string | undefined;
  },
): TolokaSubscriptionForm[];
export function desiredFrom(
  receiver: Listened<ProlificEvents>,
  options: { readonly url: string },
): ProlificSubscriptionForm[];
export function desiredFrom(
  receiver: Listened<TolokaEvents> | Listened<ProlificEvents>,
  options: {
    readonly url: string;
    readonly poolIds?: readonly string[];
    readonly secret?: string | undefined;
  },
): TolokaSubscriptionForm[] | ProlificSubscriptionForm[] {
  if (typeof receiver?.listenedTypes !== "function") {
    throw new TypeError(
      "desiredFrom takes a receiver. Of a mounted webhook pass its receiver: webhook.receiver.",
    );
  }
  const { url, poolIds, secret } = options;
  const { name } = receiver.provider;
  // Sent by the test call, and by nothing else: it cannot be subscribed to.
  const types = receiver.listenedTypes().filter((type) => type !== "TEST_EVENT");
  if (types.length === 0) {
    throw new TypeError(
      "The receiver listens to nothing that can be subscribed to. Call desiredFrom after on and onAny, in a process that registers listeners.",
    );
  }
  checkTarget("url", url, name === "prolific");
  if (name === "prolific") return types.map((event_type) => ({ event_type, target_url: url }));
  if (!Array.isArray(poolIds) || poolIds.length === 0) {
    throw new TypeError(
      "poolIds must be a list of pools, not empty: a subscription of Toloka's belongs to one.",
    );
  }
  for (const [index, pool] of poolIds.entries()) checkText(`poolIds[${index}]`, pool);
  if (secret !== undefined) checkSecret("secret", secret);
  return poolIds.flatMap((pool_id) =>
    types.map((event_type) => ({
      webhook_url: url,
      event_type,
      pool_id,
      ...(secret !== undefined && { secret_key: secret }),
    })),
  );
}

import type { Receiver } from "@crowdhook/core";
import type { ProlificEvents } from "@crowdhook/core/prolific";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { type ProlificSubscriptionForm, prolificForms } from "./prolific/form.js";
import { type TolokaSubscriptionForm, tolokaForms } from "./toloka/form.js";

type ListeningReceiver<Events extends object> = Pick<Receiver<Events>, "provider" | "listenedTypes">;

/**
 * Returns the forms that `sync` needs for a receiver's listeners. For Toloka that is one form for each
 * event type with a listener, in each pool. For Prolific it is one form for each event type.
 *
 * Call it after the listeners are registered. With an `onAny` listener it returns forms for all event
 * types that this release knows.
 *
 * @throws TypeError for invalid options, and if the receiver has no listeners.
 */
export function desiredFrom(
  receiver: ListeningReceiver<TolokaEvents>,
  options: {
    /** The public URL of the webhook. */
    readonly url: string;
    readonly poolIds: readonly string[];
    /** The receiver's newest secret. Leave it out only if the receiver is `unsigned`. */
    readonly secret?: string | undefined;
  },
): TolokaSubscriptionForm[];
export function desiredFrom(
  receiver: ListeningReceiver<ProlificEvents>,
  options: { readonly url: string },
): ProlificSubscriptionForm[];
export function desiredFrom(
  receiver: ListeningReceiver<TolokaEvents> | ListeningReceiver<ProlificEvents>,
  options: {
    readonly url: string;
    readonly poolIds?: readonly string[];
    readonly secret?: string | undefined;
  },
): TolokaSubscriptionForm[] | ProlificSubscriptionForm[] {
  if (typeof receiver?.listenedTypes !== "function") {
    throw new TypeError("desiredFrom takes a receiver. For a mounted webhook, pass webhook.receiver.");
  }
  // Only the call that tests a subscription sends TEST_EVENT. Nobody can subscribe to it.
  const types = receiver.listenedTypes().filter((type) => type !== "TEST_EVENT");
  if (types.length === 0) {
    throw new TypeError(
      "The receiver has no listener for a type that can be subscribed to. Call desiredFrom after on and onAny.",
    );
  }
  if (receiver.provider.name === "prolific") return prolificForms(types, options);
  return tolokaForms(types, options);
}

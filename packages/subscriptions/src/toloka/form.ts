import type { TolokaEventType } from "@crowdhook/core/toloka";
import { checkForm, checkForms, checkSecret, checkText, checkUrl } from "../arguments.js";

/** The event types that can be subscribed to. The set is open. Source: Toloka's webhook documentation. */
export type TolokaSubscribableType =
  | Exclude<TolokaEventType, "TEST_EVENT">
  // Keeps the names above in an editor's suggestions.
  | (string & {});

/** The fields of a new subscription. Source: `WebhookSubscriptionFormV1` of Toloka's OpenAPI file. */
export interface TolokaSubscriptionForm {
  readonly webhook_url: string;
  readonly event_type: TolokaSubscribableType;
  readonly pool_id: string;
  /** Toloka signs deliveries with it, and never shows it again. Without it deliveries are not signed. */
  readonly secret_key?: string | undefined;
}

/** @throws TypeError if the form is invalid. */
export function checkTolokaForm(form: TolokaSubscriptionForm, prefix = ""): void {
  checkForm(form);
  checkUrl(`${prefix}webhook_url`, form.webhook_url);
  checkText(`${prefix}event_type`, form.event_type);
  checkText(`${prefix}pool_id`, form.pool_id);
  if (form.secret_key !== undefined) checkSecret(`${prefix}secret_key`, form.secret_key);
}

/** @throws TypeError if one of the forms is invalid. The message names its position. */
export function checkTolokaForms(forms: readonly TolokaSubscriptionForm[]): void {
  checkForms(forms);
  for (const [index, form] of forms.entries()) checkTolokaForm(form, `[${index}].`);
}

/**
 * Returns one form for each event type in each pool.
 *
 * @throws TypeError if an option is invalid.
 */
export function tolokaForms(
  types: readonly string[],
  options: {
    readonly url: string;
    readonly poolIds?: readonly string[] | undefined;
    readonly secret?: string | undefined;
  },
): TolokaSubscriptionForm[] {
  const { url, poolIds, secret } = options;
  checkUrl("url", url);
  if (!Array.isArray(poolIds) || poolIds.length === 0) {
    throw new TypeError(
      "poolIds must be a list of at least one pool. Toloka has no subscription to all pools.",
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

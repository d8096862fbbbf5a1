import type { ProlificEventType } from "@crowdhook/core/prolific";
import { checkForm, checkForms, checkText, checkUrl } from "../arguments.js";

/** The fields of a new subscription. Source: Prolific's API reference. */
export interface ProlificSubscriptionForm {
  /** The set is open. `eventTypes()` lists it. */
  readonly event_type: ProlificEventType | (string & {});
  /** An https URL that Prolific can reach. */
  readonly target_url: string;
  /** Default: Prolific's own, which is enabled. */
  readonly is_enabled?: boolean | undefined;
}

/** @throws TypeError if the form is invalid. */
export function checkProlificForm(form: ProlificSubscriptionForm, prefix = ""): void {
  checkForm(form);
  checkText(`${prefix}event_type`, form.event_type);
  checkHttps(`${prefix}target_url`, form.target_url);
}

/** The fields of a subscription that can change. Source: Prolific's API reference. */
export type ProlificSubscriptionChange = {
  readonly [Field in keyof ProlificSubscriptionForm]?: ProlificSubscriptionForm[Field] | undefined;
};

/** @throws TypeError if the change is invalid or empty. */
export function checkProlificChange(change: ProlificSubscriptionChange): void {
  checkForm(change);
  const { event_type, target_url, is_enabled } = change;
  if (event_type === undefined && target_url === undefined && is_enabled === undefined) {
    throw new TypeError("Nothing would change. Pass event_type, target_url or is_enabled.");
  }
  if (event_type !== undefined) checkText("event_type", event_type);
  if (target_url !== undefined) checkHttps("target_url", target_url);
  if (is_enabled !== undefined && typeof is_enabled !== "boolean") {
    throw new TypeError("is_enabled must be true or false.");
  }
}

/** @throws TypeError if one of the forms is invalid. The message names its position. */
export function checkProlificForms(forms: readonly ProlificSubscriptionForm[]): void {
  checkForms(forms);
  for (const [index, form] of forms.entries()) checkProlificForm(form, `[${index}].`);
}

/**
 * Returns one form for each event type.
 *
 * @throws TypeError if the URL is not an https URL.
 */
export function prolificForms(
  types: readonly string[],
  { url }: { readonly url: string },
): ProlificSubscriptionForm[] {
  checkHttps("url", url);
  return types.map((event_type) => ({ event_type, target_url: url }));
}

/** @throws TypeError unless the value is an https URL. The message shows no more than the origin. */
function checkHttps(field: string, value: unknown): void {
  const { protocol, origin } = checkUrl(field, value);
  if (protocol === "https:") return;
  throw new TypeError(
    `${field} must begin with "https://", because Prolific delivers to nothing else. Its origin is ${origin}.`,
  );
}

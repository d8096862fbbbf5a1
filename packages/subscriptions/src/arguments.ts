import { describeValue } from "@crowdhook/core/internal";
import { typeName } from "./type-name.js";

/**
 * Returns the id if it is safe in a URL's path.
 *
 * @throws TypeError for any other id: `..` or a slash would send the call to another address.
 */
export function checkId(name: string, id: unknown): string {
  if (typeof id === "string" && /^[\w-]{1,255}$/.test(id)) return id;
  throw new TypeError(
    `${name} must be 1 to 255 letters, digits, "-" or "_", not ${typeof id === "string" ? describeValue(id.slice(0, 50)) : typeName(id)}.`,
  );
}

/** @throws TypeError if the value is not a list. */
export function checkForms(forms: unknown): void {
  if (!Array.isArray(forms)) throw new TypeError("Pass a list of forms.");
}

/** @throws TypeError if the value is not an object. */
export function checkForm(form: unknown): void {
  if (typeof form !== "object" || form === null) throw new TypeError("A form must be an object.");
}

/**
 * Returns the parsed URL of a webhook.
 *
 * @throws TypeError unless the value is a full http or https URL.
 */
export function checkUrl(field: string, value: unknown): URL {
  const url = parseHttpUrl(value);
  if (url !== undefined) return url;
  throw new TypeError(`${field} must be the full URL of the webhook, such as "https://example.com/hook".`);
}

/** @throws TypeError unless the value is a string with other characters than white space. */
export function checkText(field: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`${field} must be a string, not ${typeName(value)}.`);
  if (value.trim() === "") throw new TypeError(`${field} must not be empty.`);
}

/**
 * Checks a secret. The message does not show it.
 *
 * @throws TypeError for a secret that a receiver would refuse.
 */
export function checkSecret(field: string, value: unknown): void {
  checkText(field, value);
  if ((value as string) !== (value as string).trim()) {
    throw new TypeError(
      `${field} begins or ends with white space. Trim it: a receiver refuses such a secret.`,
    );
  }
}

/** Returns the parsed URL if it is an http or https URL. */
export function parseHttpUrl(value: unknown): URL | undefined {
  if (typeof value !== "string" || !URL.canParse(value)) return undefined;
  const url = new URL(value);
  return /^https?:$/.test(url.protocol) ? url : undefined;
}

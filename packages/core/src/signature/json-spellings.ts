/**
 * Returns a JSON text as the serializers of JavaScript and Python would write it, with and without
 * `\u` escapes. Empty if the text is not JSON.
 */
export function rewriteJson(text: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  return [JSON.stringify(value), toPythonJson(value)].flatMap((json) => [json, toAscii(json)]);
}

/** Returns JSON as Python's `json.dumps(ensure_ascii=False)` writes it: with a space after each comma and colon. */
export function toPythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toPythonJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).map(
    ([name, field]) => `${JSON.stringify(name)}: ${toPythonJson(field)}`,
  );
  return `{${fields.join(", ")}}`;
}

/** Replaces all characters from U+007F on with `\u` escapes, as Python's `json.dumps` does. U+007F is ASCII. */
export function toAscii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

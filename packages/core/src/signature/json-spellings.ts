/**
 * Returns a JSON text as other serializers would have written it: those of JavaScript and Python, in
 * UTF-8 and in ASCII. Empty if the text is not JSON.
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

/** Writes JSON as Python's `json.dumps(ensure_ascii=False)` does: with a space after each comma and colon. */
export function toPythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toPythonJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).map(
    ([name, field]) => `${JSON.stringify(name)}: ${toPythonJson(field)}`,
  );
  return `{${fields.join(", ")}}`;
}

/** Replaces all characters of a JSON text that are not ASCII by their escapes. */
export function toAscii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

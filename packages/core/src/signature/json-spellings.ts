/**
 * Deliveries nest about five levels. Serializers recurse, so deeper JSON could overflow the stack. Indenting
 * it takes space in proportion to its depth: 200 kB can become gigabytes.
 */
const DEPTH_MAX = 12;

/**
 * Returns a JSON text as the serializers of JavaScript and Python would write it, with and without
 * `\u` escapes. Empty if the text is not JSON, or nested more than 12 levels deep.
 */
export function rewriteJson(text: string): readonly string[] {
  if (isDeeplyNested(text)) return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  return [JSON.stringify(value), toPythonJson(value)].flatMap((json) => [json, toAscii(json)]);
}

/** Counts brackets outside of strings. In a text that is not JSON the answer has no meaning. */
function isDeeplyNested(text: string): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') isInString = !isInString;
    else if (isInString) i += char === "\\" ? 1 : 0;
    else if ((char === "[" || char === "{") && ++depth > DEPTH_MAX) return true;
    else if (char === "]" || char === "}") depth--;
  }
  return false;
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

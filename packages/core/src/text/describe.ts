/** Returns a value as text for a message. A string gets quotes. */
export function describeValue(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Returns whether a value is an object. `null` and arrays are not. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns the first `max` UTF-16 units of a text. The result is a string of its own: engines keep the
 * whole text in memory for as long as a slice of it is in use.
 */
export function startOf(text: string, max: number): string {
  return text.length <= max ? text : JSON.parse(JSON.stringify(text.slice(0, max)));
}

/** Returns the type of a value, for a message that must not show the value itself. */
export function typeName(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns a value as an error message shows it. Secrets must not be passed. */
export function describeValue(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Returns the type of a value for a message that must not show the value itself. */
export function typeName(value: unknown): string {
  return value === null ? "null" : typeof value;
}

/** Returns the type of a value for a message that must not show the value itself. */
export function typeName(value: unknown): string {
  return value === null ? "null" : typeof value;
}

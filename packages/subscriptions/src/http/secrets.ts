import { createHider } from "@crowdhook/core/internal";

/** Providers nest a few levels. Each level of a copy takes a part of the stack. */
const DEPTH_MAX = 100;

/** Returns a copy of a JSON value in which `[hidden]` replaces each secret, in keys as well. */
export function hideSecrets<T>(value: T, secrets: readonly (string | undefined)[]): T {
  const hideIn = createHider(secrets);
  const copy = (part: unknown, depth: number): unknown => {
    if (typeof part === "string") return hideIn(part);
    if (typeof part === "number") return secrets.includes(String(part)) ? "[hidden]" : part;
    if (typeof part !== "object" || part === null) return part;
    if (depth === DEPTH_MAX) return "[nested too deeply]";
    if (Array.isArray(part)) return part.map((item) => copy(item, depth + 1));
    return Object.fromEntries(
      Object.entries(part).map(([key, field]) => [hideIn(key), copy(field, depth + 1)]),
    );
  };
  return copy(value, 0) as T;
}

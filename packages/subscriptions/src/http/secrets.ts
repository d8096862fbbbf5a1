import { isObject } from "@crowdhook/core/internal";

/** Returns a copy of a JSON value in which `[hidden]` replaces each secret, in keys as well. */
export function hideSecrets<T>(value: T, secrets: readonly (string | undefined)[]): T {
  const given = secrets.filter((secret): secret is string => secret !== undefined && secret !== "");
  const hideIn = (text: string) => given.reduce((left, secret) => left.replaceAll(secret, "[hidden]"), text);
  const copy = (part: unknown): unknown => {
    if (typeof part === "string") return hideIn(part);
    if (typeof part === "number") return given.includes(String(part)) ? "[hidden]" : part;
    if (Array.isArray(part)) return part.map(copy);
    if (!isObject(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, field]) => [hideIn(key), copy(field)]));
  };
  return copy(value) as T;
}

import type { HeaderName } from "./definition.js";

/** Returns the names of a header, of which a request has one. */
export function namesOf(name: HeaderName): readonly [string, ...string[]] {
  return typeof name === "string" ? [name] : name;
}

import { createHash, randomUUID } from "node:crypto";

/** Returns the id of the job to store an event in. Events without an id are never duplicates. */
export function newJobId(key: string): string {
  return key === "" ? `random-${randomUUID()}` : jobIdOf(key);
}

/**
 * Returns the id of an event's job. A hash, because BullMQ refuses integers and ":" as ids and uses
 * `meta` as a key of its own. The hash is over JSON text, because UTF-8 maps all halves of surrogate
 * pairs to one character, and JSON does not.
 */
export function jobIdOf(key: string): string {
  return `event-${createHash("sha256").update(JSON.stringify(key)).digest("base64url")}`;
}

import { createHash, randomUUID } from "node:crypto";

/** Returns the id of the row to store an event in. Events without an id are never duplicates. */
export function newJobId(provider: string, eventId: string): string {
  return eventId === "" ? randomUUID() : jobIdOf(provider, eventId);
}

/**
 * Returns the UUID (version 8) that identifies an event. Source: RFC 9562, section 5.8. It hashes JSON
 * text, because UTF-8 maps all halves of surrogate pairs to one character, and JSON does not.
 */
export function jobIdOf(provider: string, eventId: string): string {
  const bytes = createHash("sha256")
    .update(JSON.stringify([provider, eventId]))
    .digest()
    .subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

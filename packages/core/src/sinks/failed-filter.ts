import type { FailedEvent, FailedFilter } from "./durable-sink.js";
import type { StoredFailure } from "./queue-engine.js";
import { requirePositiveInteger } from "./settings.js";

/** @throws TypeError for a filter that cannot match. Otherwise a mistyped one could select all events. */
export function checkFilter(filter: FailedFilter): void {
  const { provider, type, before, since, limit, ...rest } = filter;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw new TypeError(`A filter has no ${unknown}. Use provider, type, before, since and limit.`);
  }
  for (const [name, value] of Object.entries({ provider, type })) {
    if (value !== undefined && typeof value !== "string") throw new TypeError(`${name} must be a string.`);
  }
  for (const [name, value] of Object.entries({ before, since })) {
    if (value !== undefined && !(value instanceof Date && !Number.isNaN(value.getTime()))) {
      throw new TypeError(`${name} must be a valid Date.`);
    }
  }
  if (limit !== undefined) requirePositiveInteger("limit", limit, "number");
}

/** Returns how many of the oldest failures to read: all, unless `limit` alone decides. */
export function scanLimit({ limit, ...conditions }: FailedFilter): number {
  const isOpen = Object.values(conditions).every((condition) => condition === undefined);
  return isOpen && limit !== undefined ? limit : Number.MAX_SAFE_INTEGER;
}

/** Returns the failures that match, oldest first. */
export function selectFailed(
  failures: readonly StoredFailure[],
  { provider, type, before, since, limit }: FailedFilter,
  toEvent: (failure: StoredFailure) => FailedEvent,
): readonly FailedEvent[] {
  return failures
    .filter(
      (failure) =>
        (provider === undefined || failure.provider === provider) &&
        (before === undefined || failure.failedAt < before) &&
        (since === undefined || failure.failedAt >= since),
    )
    .sort((a, b) => Number(a.failedAt) - Number(b.failedAt))
    .map(toEvent)
    .filter(({ event }) => type === undefined || event.type === type)
    .slice(0, limit);
}

const ISO_8601 = /^(\d{4}-\d\d-(\d\d))T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * Returns the time in a field of Toloka's, or `undefined` if the text is not a date and time in ISO 8601.
 *
 * Toloka writes UTC without an offset, and `new Date` alone would take that for local time. An offset
 * counts if there is one. Digits after the milliseconds are dropped. A day that its month does not have,
 * such as 30 February, is refused.
 */
export function parseTolokaTime(text: string): Date | undefined {
  const [, date, day, offset] = ISO_8601.exec(text) ?? [];
  if (date === undefined) return undefined;
  // V8 reads 30 February as 1 March.
  if (Number(day) > 28 && new Date(`${date}T00:00Z`).getUTCDate() !== Number(day)) return undefined;
  // V8 drops the leading zeros of a fraction that has ten or more digits.
  const withMilliseconds = text.replace(/(\.\d{3})\d+/, "$1");
  const time = new Date(offset === undefined ? `${withMilliseconds}Z` : withMilliseconds);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

export const ISO_8601 = /^((\d{4}-\d\d-(\d\d))T\d\d:\d\d)(?:(:\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * Parses a time in ISO 8601. Returns `undefined` if the text is not a date and time, or if its month does
 * not have this day, such as 30 February.
 *
 * A text without an offset is UTC, although `new Date` alone would read it as local time. Digits after the
 * milliseconds are dropped.
 */
export function parseIsoTime(text: string): Date | undefined {
  const [, minutes, date, day, seconds = "", fraction = "", offset = "Z"] = ISO_8601.exec(text) ?? [];
  if (minutes === undefined) return undefined;
  // V8 reads 30 February as 1 or 2 March.
  if (Number(day) > 28 && new Date(`${date}T00:00Z`).getUTCDate() !== Number(day)) return undefined;
  // V8 misreads fractions of ten or more digits: it drops their leading zeros.
  const time = new Date(`${minutes}${seconds}${fraction.slice(0, 4)}${offset}`);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

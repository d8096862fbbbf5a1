/**
 * Matches a date and time up to the minute, with optional seconds, fraction and offset. It also matches a
 * day that the month lacks, and times from 24:00 to 24:59. `parseIsoTime` refuses these, except 24:00.
 */
export const ISO_8601 =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?$/;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** The calendar repeats itself after 400 years. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * DAY_MS;

/**
 * Parses a time in ISO 8601. Returns `undefined` if the text is not a date and time, or if its month does
 * not have this day, such as 30 February.
 *
 * A text without an offset is UTC, although `new Date` alone would read it as local time. Digits after the
 * milliseconds are dropped.
 */
export function parseIsoTime(text: string): Date | undefined {
  if (!ISO_8601.test(text)) return undefined;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const day = twoDigits(text, 8);
  // One cycle later, because `Date.UTC` reads the years 0 to 99 as 1900 to 1999.
  const midnight = Date.UTC(year + CYCLE_YEARS, twoDigits(text, 5) - 1, day) - CYCLE_MS;
  // `Date.UTC` turns 30 February into a day of March.
  if (day > 28 && new Date(midnight).getUTCDate() !== day) return undefined;
  const time = timeOfDay(text);
  return time > DAY_MS ? undefined : new Date(midnight + time - offsetOf(text));
}

/** Returns the milliseconds since midnight. */
function timeOfDay(text: string): number {
  const minutes = twoDigits(text, 11) * 60 + twoDigits(text, 14);
  const seconds = text[16] === ":" ? twoDigits(text, 17) : 0;
  const fraction = text[19] === "." ? Number.parseFloat(text.slice(19, 23)) : 0;
  return minutes * MINUTE_MS + seconds * 1000 + Math.round(fraction * 1000);
}

/** Returns the milliseconds by which the text's clock is ahead of UTC. */
function offsetOf(text: string): number {
  const sign = Math.max(text.lastIndexOf("+"), text.lastIndexOf("-"));
  // The text has no offset: this sign is the second hyphen of the date.
  if (sign <= 7) return 0;
  const minutes = twoDigits(text, sign + 1) * 60 + twoDigits(text, text.length - 2);
  return (text[sign] === "+" ? 1 : -1) * minutes * MINUTE_MS;
}

function twoDigits(text: string, start: number): number {
  return (text.charCodeAt(start) - 48) * 10 + text.charCodeAt(start + 1) - 48;
}

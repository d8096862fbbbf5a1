/** Date and time up to the minute, perhaps seconds and their fraction, perhaps an offset. */
export const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?$/;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/**
 * Parses a time in ISO 8601. Returns `undefined` if the text is not a date and time, or if its month does
 * not have this day, such as 30 February.
 *
 * A text without an offset is UTC, although `new Date` alone would read it as local time. Digits after the
 * milliseconds are dropped.
 */
export function parseIsoTime(text: string): Date | undefined {
  if (!ISO_8601.test(text)) return undefined;
  const month = twoDigits(text, 5);
  const date = new Date(0);
  // `Date.UTC` would read the years 0 to 99 as 1900 to 1999.
  date.setUTCFullYear(twoDigits(text, 0) * 100 + twoDigits(text, 2), month - 1, twoDigits(text, 8));
  // A day that the month does not have became one of another month.
  if (date.getUTCMonth() !== month - 1) return undefined;
  const time = timeOfDay(text);
  const offset = offsetOf(text);
  if (time === undefined || offset === undefined) return undefined;
  date.setTime(date.getTime() + time - offset);
  return date;
}

/** Returns the milliseconds since midnight. The end of a day is 24:00. */
function timeOfDay(text: string): number | undefined {
  const minutes = twoDigits(text, 14);
  const seconds = text[16] === ":" ? twoDigits(text, 17) : 0;
  const fraction = text[19] === "." ? Number.parseFloat(text.slice(19, 23)) : 0;
  if (minutes > 59 || seconds > 59) return undefined;
  const time =
    (twoDigits(text, 11) * 60 + minutes) * MINUTE_MS + seconds * 1000 + Math.round(fraction * 1000);
  return time <= DAY_MS ? time : undefined;
}

/** Returns the milliseconds by which the text's clock is ahead of UTC. */
function offsetOf(text: string): number | undefined {
  const sign = Math.max(text.lastIndexOf("+"), text.lastIndexOf("-"));
  // The last sign is a hyphen of the date.
  if (sign <= 7) return 0;
  const hours = twoDigits(text, sign + 1);
  const minutes = twoDigits(text, text.length - 2);
  if (hours > 23 || minutes > 59) return undefined;
  return (text[sign] === "+" ? 1 : -1) * (hours * 60 + minutes) * MINUTE_MS;
}

function twoDigits(text: string, start: number): number {
  return (text.charCodeAt(start) - 48) * 10 + text.charCodeAt(start + 1) - 48;
}

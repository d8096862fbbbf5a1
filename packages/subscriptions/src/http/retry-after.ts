const DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun";
const MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
const IMF_FIXDATE = new RegExp(
  `^(?:${DAYS}), \\d{2} (?:${MONTHS}) \\d{4} (?:[01]\\d|2[0-3]):[0-5]\\d:(?:[0-5]\\d|60) GMT$`,
);

/**
 * Returns the wait in milliseconds; `undefined` if the header is missing or has neither of the two forms of
 * RFC 9110, section 10.2.3: whole seconds, or a date such as `Sun, 06 Nov 1994 08:49:37 GMT`. `Number` and
 * `Date.parse` would also read `1e3`, `0x10` and `-5`.
 */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  const text = header ?? "";
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  if (!IMF_FIXDATE.test(text)) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time - now;
}

const ISO_8601 = /^(\d{4}-\d\d-(\d\d))T(\d\d:\d\d(?::\d\d)?)(\.\d{1,3})?\d*(Z|[+-]\d\d:?\d\d)?$/;

/**
 * Reads a time as Toloka writes it: ISO 8601, in UTC unless it has an offset, with a fraction of a
 * second or without. Returns `undefined` for anything else, such as 30 February.
 *
 * Source: Toloka's documentation of webhook notifications and of its REST API.
 */
export function parseTolokaTime(text: string): Date | undefined {
  const [, date, day, time, fraction = "", offset = "Z"] = ISO_8601.exec(text) ?? [];
  if (date === undefined) return undefined;
  // V8 reads 30 February as 1 March.
  if (Number(day) > 28 && new Date(`${date}T00:00Z`).getUTCDate() !== Number(day)) return undefined;
  // Digits beyond milliseconds are left out: V8 drops the leading zeros of a fraction of ten digits or more.
  const parsed = new Date(`${date}T${time}${fraction}${offset}`);
  return Number.isNaN(parsed.getTime()) ? undefined : parsed;
}

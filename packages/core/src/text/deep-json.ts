/** An array or object that is not completely written yet. */
interface Open {
  readonly value: object;
  readonly end: "]" | "}";
  readonly rest: Iterator<readonly [key: string, value: unknown]>;
  separator: "" | ",";
}

/** Each level that is being written takes memory: 5 MiB can hold two million levels. */
const LEVELS_MAX = 100_000;

/**
 * Does what `JSON.stringify` does, up to 100,000 levels deep. `JSON.stringify` recurses, and overflows the
 * stack at some thousand levels; `JSON.parse` reads any depth.
 *
 * @throws TypeError for a `bigint`, or for an object that contains itself.
 * @throws RangeError for more levels.
 */
export function deepJson(root: unknown): string {
  const parts: string[] = [];
  const path: Open[] = [];
  const onPath = new Set<object>();

  const write = (value: unknown) => {
    if (
      typeof value !== "object" ||
      value === null ||
      typeof (value as Partial<Date>).toJSON === "function"
    ) {
      parts.push(JSON.stringify(value) ?? "null");
      return;
    }
    if (onPath.has(value)) throw new TypeError("An object contains itself.");
    if (path.length === LEVELS_MAX) throw new RangeError(`There are more than ${LEVELS_MAX} levels.`);
    onPath.add(value);
    const isArray = Array.isArray(value);
    parts.push(isArray ? "[" : "{");
    const entries = isArray
      ? Array.from(value, (item) => ["", item] as const)
      : Object.entries(value).filter(isWritten);
    path.push({ value, end: isArray ? "]" : "}", rest: entries.values(), separator: "" });
  };

  write(root);
  for (let open = path.at(-1); open !== undefined; open = path.at(-1)) {
    const { done, value: entry } = open.rest.next();
    if (done) {
      parts.push(open.end);
      onPath.delete(open.value);
      path.pop();
      continue;
    }
    const [key, value] = entry;
    parts.push(open.separator);
    open.separator = ",";
    if (open.end === "}") parts.push(JSON.stringify(key), ":");
    write(value);
  }
  return parts.join("");
}

/** `JSON.stringify` leaves these properties out of an object. */
function isWritten([, value]: readonly [string, unknown]): boolean {
  return value !== undefined && typeof value !== "function" && typeof value !== "symbol";
}

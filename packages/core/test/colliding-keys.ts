/** So many keys of the same length and hash. */
export function collidingKeys(count: number, hash: (key: string) => number): [string, string, ...string[]] {
  const byValue = new Map<number, string[]>();
  for (let n = 0; ; n++) {
    const key = `event-${String(n).padStart(8, "0")}`;
    const value = hash(key);
    const keys = [...(byValue.get(value) ?? []), key];
    if (keys.length === count) return keys as [string, string, ...string[]];
    byValue.set(value, keys);
  }
}

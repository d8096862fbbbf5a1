/**
 * A map with limited size. Keeps at least the `max` entries that were used last, and fewer than twice as
 * many. Drops an entry with a `ttl` some time after it has passed, even if there is room.
 */
export class RecentMap<Value extends object | number> {
  // Two generations: the older one is dropped as a whole, so that no call walks over entries. The keys
  // come from senders; a Map hashes them with a secret seed, so nobody can craft collisions.
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();
  readonly #max: number;
  /** The longest `ttl` of all entries. */
  #ttl = 0;
  /** From then on, the older generation holds only entries that are past their `ttl`. */
  #agesAt: number | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#young.set(key, old);
    if (this.#young.size >= this.#max) this.#age();
    return old;
  }

  /** `ttl` is in milliseconds, and `now` is Unix time in milliseconds. Without them, the entry never gets too old. */
  set(key: string, value: Value, ttl = Number.POSITIVE_INFINITY, now = 0): void {
    this.#young.set(key, value);
    this.#ttl = Math.max(this.#ttl, ttl);
    this.#agesAt ??= now + this.#ttl;
    if (this.#young.size >= this.#max || now >= this.#agesAt) this.#age();
  }

  #age(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#agesAt = undefined;
  }
}

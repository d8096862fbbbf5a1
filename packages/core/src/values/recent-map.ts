/** A map with limited size. Keeps at least the `max` entries that were used last, and fewer than twice as many. */
export class RecentMap<Value extends object | number> {
  // Two generations: the older one is dropped as a whole, so that no call walks over entries. The keys
  // come from senders; a Map hashes them with a secret seed, so nobody can craft collisions.
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: Value): void {
    this.#young.set(key, value);
    if (this.#young.size < this.#max) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}

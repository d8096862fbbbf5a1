/** A map that forgets. It keeps at least the `max` entries that were used last, and at most twice as many. */
export class RecentMap<Value extends object | number> {
  // Two generations, of which the older is forgotten as a whole. So no entry costs more than looking it
  // up and putting it in, and the keys hash with V8's own seed.
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

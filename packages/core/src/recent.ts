/** A map that forgets: of its entries it keeps at least the `max` that were used last, at most twice as many. */
export class Recent<Value extends object> {
  // Whole generations are forgotten, so that no entry costs more than looking it up and putting it in.
  #young = new Table<Value>();
  #old = new Table<Value>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string, hash = hashOf(key)): Value | undefined {
    const young = this.#young.get(key, hash);
    if (young !== undefined) return young;
    const old = this.#old.get(key, hash);
    if (old !== undefined) this.set(key, old, hash);
    return old;
  }

  set(key: string, value: Value, hash = hashOf(key)): void {
    this.#young.set(key, hash, value);
    if (this.#young.size < this.#max) return;
    this.#old = this.#young;
    this.#young = new Table();
  }
}

/**
 * A hash table with nothing to take out. Of tens of thousands of keys that are not there it looks at
 * the hashes alone, where a Map reads strings all over the heap: a third of the time.
 */
class Table<Value> {
  readonly #keys: string[] = [];
  readonly #values: Value[] = [];
  /** Pairs: the hash of a key, and its place in the lists, counted from 1; 0 where there is none. */
  #slots = new Int32Array(2 * 16);

  get size(): number {
    return this.#keys.length;
  }

  get(key: string, hash: number): Value | undefined {
    const place = this.#slots[this.#slotOf(key, hash) + 1] as number;
    return place === 0 ? undefined : this.#values[place - 1];
  }

  set(key: string, hash: number, value: Value): void {
    const slot = this.#slotOf(key, hash);
    const place = this.#slots[slot + 1] as number;
    if (place !== 0) {
      this.#values[place - 1] = value;
      return;
    }
    this.#values.push(value);
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = this.#keys.push(key);
    // Half of the slots stay empty: the search for a key ends at one.
    if (4 * this.size > this.#slots.length) this.#grow();
  }

  /** Where the key is, or would be. */
  #slotOf(key: string, hash: number): number {
    const slots = this.#slots;
    const last = slots.length - 2;
    let slot = (2 * hash) & last;
    for (;;) {
      const place = slots[slot + 1] as number;
      if (place === 0 || (slots[slot] === hash && this.#keys[place - 1] === key)) return slot;
      slot = (slot + 2) & last;
    }
  }

  #grow(): void {
    const from = this.#slots;
    const slots = new Int32Array(2 * from.length);
    const last = slots.length - 2;
    for (let i = 0; i < from.length; i += 2) {
      const hash = from[i] as number;
      const place = from[i + 1] as number;
      if (place === 0) continue;
      let slot = (2 * hash) & last;
      while (slots[slot + 1] !== 0) slot = (slot + 2) & last;
      slots[slot] = hash;
      slots[slot + 1] = place;
    }
    this.#slots = slots;
  }
}

/** FNV-1a over the characters, its bits mixed so that the lowest depend on all. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

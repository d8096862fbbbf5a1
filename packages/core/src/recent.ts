/**
 * A map that forgets: of its entries it keeps at least the `max` that were used last, at most twice as
 * many. A hash table of its own: of tens of thousands of keys that are not there it looks at the hashes
 * alone, where a Map reads strings all over the heap, which takes three times as long.
 */
export class Recent<Value extends object> {
  // As they were put in; one that is used again after a while is put in anew.
  #keys: string[] = [];
  #values: Value[] = [];
  /** Pairs: the hash of a key, and its place in the lists, counted from 1; 0 where there is none. */
  #slots = new Int32Array(2 * 16);
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string, hash = hashOf(key)): Value | undefined {
    const slot = this.#slotOf(key, hash);
    const place = this.#slots[slot + 1] as number;
    if (place === 0) return undefined;
    const value = this.#values[place - 1] as Value;
    if (this.#isOld(place)) this.#append(slot, key, hash, value);
    return value;
  }

  set(key: string, value: Value, hash = hashOf(key)): void {
    const slot = this.#slotOf(key, hash);
    const place = this.#slots[slot + 1] as number;
    if (this.#isOld(place)) this.#append(slot, key, hash, value);
    else this.#values[place - 1] = value;
  }

  /** Whether it is none of the last `max`, or none at all. */
  #isOld(place: number): boolean {
    return place === 0 || place <= this.#keys.length - this.#max;
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

  #append(slot: number, key: string, hash: number, value: Value): void {
    this.#values.push(value);
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = this.#keys.push(key);
    // Many are forgotten at once, so that no entry costs more than to be put in twice.
    if (this.#keys.length >= 2 * this.#max) this.#rebuild(this.#slots.length, this.#max);
    // Half of the slots stay empty: the search for a key ends at one.
    else if (4 * this.#keys.length > this.#slots.length) this.#rebuild(2 * this.#slots.length, 0);
  }

  #rebuild(length: number, forgotten: number): void {
    const slots = new Int32Array(length);
    const last = length - 2;
    for (let i = 0; i < this.#slots.length; i += 2) {
      const hash = this.#slots[i] as number;
      const place = (this.#slots[i + 1] as number) - forgotten;
      if (place <= 0) continue;
      let slot = (2 * hash) & last;
      while (slots[slot + 1] !== 0) slot = (slot + 2) & last;
      slots[slot] = hash;
      slots[slot + 1] = place;
    }
    this.#slots = slots;
    this.#keys = this.#keys.slice(forgotten);
    this.#values = this.#values.slice(forgotten);
  }
}

/** FNV-1a over the characters, its bits mixed so that the lowest depend on all. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

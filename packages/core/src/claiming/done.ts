/**
 * Keys that are done, each until a time. Of them it keeps at least the `max` that were put in or asked
 * for last, at most twice as many.
 *
 * A hash table in arrays of numbers. Where tens of thousands of keys are remembered, a Map reads strings
 * all over the heap to find that one is not there; and V8 gives a process that keeps objects of every
 * request a larger nursery, in which all else takes more memory and time.
 */
export class DoneKeys {
  /**
   * Keys have places from 1 on, as they were put in. When twice `max` are taken, the first half is
   * forgotten; one in it that is used before then is put in anew.
   */
  #count = 0;
  /** The characters of all keys, one key behind the other. */
  #text = new Uint16Array(1024);
  /** By place: where in the text the key ends. */
  #ends = new Uint32Array(32);
  #untils = new Float64Array(32);
  /** Pairs: the hash of a key, and its place; 0 where there is none. */
  #slots = new Int32Array(64);
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** The time until which a key is done, as it was given; `-Infinity` if it is not known. */
  until(key: string, hash = hashOf(key)): number {
    const slot = this.#slotOf(key, hash);
    const place = this.#slots[slot + 1] as number;
    if (place === 0) return Number.NEGATIVE_INFINITY;
    const until = this.#untils[place] as number;
    try {
      if (this.#isOld(place)) this.#append(slot, key, hash, until);
    } catch {
      // There is no room: it stays where it is, and is forgotten sooner.
    }
    return until;
  }

  /** @throws RangeError if there is no room; all else is as it was. */
  set(key: string, until: number, hash = hashOf(key)): void {
    const slot = this.#slotOf(key, hash);
    const place = this.#slots[slot + 1] as number;
    if (place === 0 || this.#isOld(place)) this.#append(slot, key, hash, until);
    else this.#untils[place] = until;
  }

  /** Whether it is in the half that is forgotten next. */
  #isOld(place: number): boolean {
    return place <= this.#max && this.#count >= this.#max;
  }

  /** Where the key is, or would be. */
  #slotOf(key: string, hash: number): number {
    const slots = this.#slots;
    const last = slots.length - 2;
    let slot = (2 * hash) & last;
    for (;;) {
      const place = slots[slot + 1] as number;
      if (place === 0 || (slots[slot] === hash && this.#isAt(place, key))) return slot;
      slot = (slot + 2) & last;
    }
  }

  /** The hash alone proves nothing: an event taken for another would be lost. */
  #isAt(place: number, key: string): boolean {
    const start = this.#ends[place - 1] as number;
    if (key.length !== (this.#ends[place] as number) - start) return false;
    for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) !== this.#text[start + i]) return false;
    return true;
  }

  #append(found: number, key: string, hash: number, until: number): void {
    const start = this.#ends[this.#count] as number;
    const end = start + key.length;
    const place = this.#count + 1;
    let slot = found;
    // Room first: where there is none, this throws, and all is as it was.
    if (end > this.#text.length) this.#text = grown(this.#text, new Uint16Array(2 * end));
    if (place >= this.#ends.length) this.#ends = grown(this.#ends, new Uint32Array(2 * place));
    if (place >= this.#untils.length) this.#untils = grown(this.#untils, new Float64Array(2 * place));
    // Half of the slots stay empty: the search for a key ends at one.
    if (4 * place > this.#slots.length) {
      this.#slots = this.#rehashed(2 * this.#slots.length, 0);
      slot = this.#slotOf(key, hash);
    }
    for (let i = 0; i < key.length; i++) this.#text[start + i] = key.charCodeAt(i);
    this.#ends[place] = end;
    this.#untils[place] = until;
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = place;
    this.#count = place;
    if (place >= 2 * this.#max) this.#forget(place - this.#max);
  }

  /** Forgets those that were put in first: many at once, so that none costs much. */
  #forget(count: number): void {
    const slots = this.#rehashed(this.#slots.length, count);
    const start = this.#ends[count] as number;
    this.#text.copyWithin(0, start, this.#ends[this.#count]);
    this.#untils.copyWithin(0, count, this.#count + 1);
    this.#count -= count;
    for (let i = 0; i <= this.#count; i++) this.#ends[i] = (this.#ends[i + count] as number) - start;
    this.#slots = slots;
  }

  /** So many slots, without those of the places that are forgotten. */
  #rehashed(length: number, forgotten: number): Int32Array<ArrayBuffer> {
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
    return slots;
  }
}

function grown<Numbers extends { set(from: Numbers): void }>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

/** FNV-1a over the characters, its bits mixed so that the lowest depend on all. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

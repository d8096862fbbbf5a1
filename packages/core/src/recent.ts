/**
 * A map that forgets: of its entries it keeps at least the `max` that were used last, and at most
 * twice as many, beside those that must stay.
 */
export class Recent<Value extends object> {
  // Whole generations are forgotten, so that no entry costs more than looking it up and putting it in.
  // A key is in one of them only: what is deleted from the young one must not come back from the old.
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();
  #full: number;
  readonly #max: number;
  readonly #mustStay: (value: Value) => boolean;

  constructor(max: number, mustStay: (value: Value) => boolean = () => false) {
    this.#max = max;
    this.#full = max;
    this.#mustStay = mustStay;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: Value): void {
    this.#old.delete(key);
    this.#young.set(key, value);
    if (this.#young.size < this.#full) return;
    const forgotten = this.#old;
    this.#old = this.#young;
    this.#young = new Map();
    for (const [key, value] of forgotten) if (this.#mustStay(value)) this.#young.set(key, value);
    // What must stay takes no room from the others.
    this.#full = this.#max + this.#young.size;
  }

  delete(key: string): void {
    if (!this.#young.delete(key)) this.#old.delete(key);
  }
}

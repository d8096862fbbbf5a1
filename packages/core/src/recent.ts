/**
 * A map that forgets: of its entries it keeps at least the `max` that were used last, and at most
 * twice as many, beside those that it must not forget.
 */
export class Recent<Value extends object> {
  // Whole generations are forgotten, so that no entry costs more than looking it up and putting it in.
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();
  #added = 0;
  readonly #max: number;
  readonly #mustStay: (value: Value) => boolean;

  constructor(max: number, mustStay: (value: Value) => boolean = () => false) {
    this.#max = max;
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
    this.#young.set(key, value);
    if (++this.#added < this.#max) return;
    const forgotten = this.#old;
    this.#old = this.#young;
    this.#young = new Map();
    this.#added = 0;
    for (const [key, value] of forgotten) {
      if (this.#mustStay(value) && !this.#old.has(key)) this.#young.set(key, value);
    }
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}

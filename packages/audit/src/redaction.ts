import { createHider } from "@crowdhook/core/internal";
import type { Answer } from "./exchange.js";

const MAX_SHOWN = 200;
/** The largest number of characters that stand for one character of a secret, such as `&#x0041;`. */
const MAX_SPELLING = 20;

/** Removes confidential texts from answers before a report shows them. */
export class Redaction {
  private readonly confidential: Set<string>;

  constructor(confidential: readonly string[]) {
    this.confidential = new Set(confidential);
  }

  add(confidential: readonly string[]): void {
    for (const text of confidential) this.confidential.add(text);
  }

  /** Returns an answer as one line. */
  describe({ status, body }: Answer): string {
    const shown = this.clean(body);
    return shown === "" ? String(status) : `${status}, ${shown}`;
  }

  /** Returns the beginning of a text, without control characters and confidential texts. */
  clean(text: string): string {
    const longest = Math.max(...[...this.confidential].map(({ length }) => length));
    // An answer can be long. What stands behind the last character that is shown need not be searched.
    const begin = text
      .trim()
      .replace(/\s+/g, " ")
      .slice(0, MAX_SHOWN + MAX_SPELLING * longest);
    const clean = createHider(this.confidential, "[not shown]")(begin).replace(/\p{C}/gu, "\uFFFD");
    return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}…` : clean;
  }
}

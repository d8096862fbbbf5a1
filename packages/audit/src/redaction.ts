import type { Answer } from "./exchange.js";

const MAX_SHOWN = 200;

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
    let clean = text;
    for (const hidden of this.confidential) clean = clean.replaceAll(hidden, "[not shown]");
    clean = clean.trim().replace(/\s+/g, " ").replace(/\p{C}/gu, "\uFFFD");
    return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}…` : clean;
  }
}

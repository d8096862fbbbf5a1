import type { Batch, Row } from "../../src/wire.js";

/** The rows of the list. Batches change it, and `filtered` reads it. */
export interface Rows {
  readonly size: number;
  apply(batch: Batch): void;
  get(id: number): Row | undefined;
  /** Returns the rows that hold every word of `filter`, newest first. */
  filtered(filter: string): readonly Row[];
}

export function createRows(): Rows {
  const rows = new Map<number, Row>();
  const texts = new Map<number, string>();
  return {
    get size() {
      return rows.size;
    },

    apply(batch) {
      for (const row of batch.rows) {
        rows.set(row.id, row);
        texts.delete(row.id);
      }
      for (const id of rows.keys()) {
        if (id >= batch.oldest) break;
        rows.delete(id);
        texts.delete(id);
      }
    },

    get: (id) => rows.get(id),

    filtered(filter) {
      const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
      const list: Row[] = [];
      for (const row of rows.values()) {
        if (words.length > 0) {
          const text = texts.get(row.id) ?? textOf(row);
          texts.set(row.id, text);
          if (!words.every((word) => text.includes(word))) continue;
        }
        list.push(row);
      }
      return list.sort((a, b) => b.id - a.id);
    },
  };
}

function textOf({ provider, types, words, reason, status }: Row): string {
  return [provider, ...types, words, reason, status].join(" ").toLowerCase();
}

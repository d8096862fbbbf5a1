import type { ByteRange } from "../../src/wire.js";
import { VirtualList } from "../parts/virtual-list.js";

/** Bytes to mark. A length of 0 marks a place where bytes are missing. */
export type Mark = readonly [at: number, length: number];

const ROW_HEIGHT = 20;
const MAX_HEIGHT = 420;
const WIDE = 16;
const NARROW = 8;

export function marksOf(differences: readonly ByteRange[], side: "received" | "fitting"): readonly Mark[] {
  return differences.map(({ at, length, fittingAt, fittingLength }) =>
    side === "received" ? [at, length] : [fittingAt, fittingLength],
  );
}

interface Props {
  readonly bytes: Uint8Array;
  readonly marks?: readonly Mark[];
  readonly label: string;
  /** Shows only rows with marks, and their neighbours. */
  readonly onlyMarked?: boolean;
}

/** Bytes in hex and as characters. Bytes that differ are marked, and so are places where bytes are missing. */
export function Hex({ bytes, marks = [], label, onlyMarked = false }: Props) {
  const width = innerWidth < 700 ? NARROW : WIDE;
  const rows = rowsOf(bytes.length, marks, width, onlyMarked);
  const marked = markedBytes(marks);
  return (
    <VirtualList
      class="hex"
      maxHeight={MAX_HEIGHT}
      label={label}
      count={rows.length}
      rowHeight={ROW_HEIGHT}
      row={(index) => {
        const row = rows[index] as number;
        return row < 0 ? (
          <div class="hex-row dim">⋯</div>
        ) : (
          <HexRow bytes={bytes} from={row * width} width={width} marked={marked} />
        );
      }}
    />
  );
}

interface Marked {
  readonly bytes: ReadonlySet<number>;
  readonly gaps: ReadonlySet<number>;
}

const MARKED_MAX = 100_000;

function markedBytes(marks: readonly Mark[]): Marked {
  const bytes = new Set<number>();
  const gaps = new Set<number>();
  for (const [at, length] of marks) {
    if (length === 0) gaps.add(at);
    for (let i = 0; i < length && bytes.size < MARKED_MAX; i++) bytes.add(at + i);
  }
  return { bytes, gaps };
}

/** Returns the numbers of the rows to show; -1 stands for rows that are left out. */
function rowsOf(
  length: number,
  marks: readonly Mark[],
  width: number,
  onlyMarked: boolean,
): readonly number[] {
  const count = Math.max(1, Math.floor(length / width) + 1);
  if (!onlyMarked)
    return Array.from({ length: length % width === 0 && length > 0 ? count - 1 : count }, (_, i) => i);
  const wanted = new Set<number>();
  for (const [at, size] of marks) {
    for (
      let row = Math.floor(at / width) - 1;
      row <= Math.floor((at + size) / width) + 1 && wanted.size < 2_000;
      row++
    ) {
      if (row >= 0 && row < count) wanted.add(row);
    }
  }
  const rows: number[] = [];
  for (const row of [...wanted].sort((a, b) => a - b)) {
    if (row > (rows.at(-1) ?? -1) + 1) rows.push(-1);
    rows.push(row);
  }
  if ((rows.at(-1) ?? 0) < count - 1) rows.push(-1);
  return rows;
}

function HexRow({
  bytes,
  from,
  width,
  marked,
}: {
  bytes: Uint8Array;
  from: number;
  width: number;
  marked: Marked;
}) {
  const offsets = Array.from({ length: width }, (_, i) => from + i);
  const classOf = (at: number) =>
    `${marked.bytes.has(at) ? "differs" : ""}${marked.gaps.has(at) && at <= bytes.length ? " gap" : ""}`;
  return (
    <div class="hex-row">
      <span class="offset">{from.toString(16).padStart(6, "0")}</span>
      <span class="codes">
        {offsets.map((at) => (
          <i class={classOf(at)}>{bytes[at]?.toString(16).padStart(2, "0") ?? "  "}</i>
        ))}
      </span>
      <span class="chars">
        {offsets.map((at) => (
          <i class={classOf(at)}>{charOf(bytes[at])}</i>
        ))}
      </span>
    </div>
  );
}

const PICTURES: Readonly<Record<number, string>> = { 9: "→", 10: "↵", 13: "←" };

function charOf(byte: number | undefined): string {
  if (byte === undefined) return " ";
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return PICTURES[byte] ?? "·";
}

import { useMemo, useState } from "preact/hooks";
import type { ByteRange, Detail } from "../../src/wire.js";
import { size, Text } from "../parts/text.js";
import { VirtualList } from "../parts/virtual-list.js";
import { getBytes } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";
import { Hex, marksOf } from "./hex.js";
import { Tree } from "./tree.js";

/** A larger body is shown from its beginning. */
const SHOWN_MAX = 256 * 1024;
/** In characters. */
const LINE_MAX = 110;

type Form = "tree" | "text" | "bytes";

export function Body({ detail }: { readonly detail: Detail }) {
  const { id } = detail.row;
  const { value: bytes, error } = useLoaded(`${id}`, () => getBytes(`deliveries/${id}/body`));
  const [form, setForm] = useState<Form>();
  const [isWhole, setWhole] = useState(false);
  const json = useMemo(() => bytes && parsed(bytes), [bytes]);
  if (error !== undefined) return <p class="problem">{error}</p>;
  if (bytes === undefined) return <p class="dim">…</p>;
  const shown = form ?? (json === undefined ? "text" : "tree");
  const isCut = shown !== "tree" && !isWhole && bytes.length > SHOWN_MAX;
  const part = isCut ? bytes.subarray(0, SHOWN_MAX) : bytes;
  const differences = detail.signature?.mismatch?.differences ?? [];
  const tab = (name: Form, label: string) => (
    <button type="button" role="tab" aria-selected={shown === name} onClick={() => setForm(name)}>
      {label}
    </button>
  );
  return (
    <>
      <div class="tabs" role="tablist">
        {json !== undefined && tab("tree", "Tree")}
        {tab("text", "Text")}
        {tab("bytes", "Bytes")}
        <span class="fill" />
        <span class="dim">{size(detail.bytes ?? 0)}</span>
      </div>
      {detail.isBodyHidden && (
        <p class="problem">A secret in this body is hidden. These are not the received bytes.</p>
      )}
      {shown === "tree" && json !== undefined && (
        <div class="tree">
          <Tree value={json.value} />
        </div>
      )}
      {shown === "text" && <Lines bytes={part} />}
      {shown === "bytes" && (
        <Hex bytes={part} label="Bytes of the body" marks={marksOf(differences, "received")} />
      )}
      {isCut && (
        <button type="button" class="show-all" onClick={() => setWhole(true)}>
          Show all {size(bytes.length)}
        </button>
      )}
    </>
  );
}

/** Where the bytes differ from those that would fit, side by side. */
export function Differences({
  id,
  differences,
}: {
  readonly id: number;
  readonly differences: readonly ByteRange[];
}) {
  const received = useLoaded(`${id}`, () => getBytes(`deliveries/${id}/body`)).value;
  const fitting = useLoaded(`${id}`, () => getBytes(`deliveries/${id}/fitting`)).value;
  if (received === undefined || fitting === undefined) return null;
  return (
    <div class="sides">
      <Side title="Received" bytes={received} differences={differences} side="received" />
      <Side title="The signature fits" bytes={fitting} differences={differences} side="fitting" />
    </div>
  );
}

interface SideProps {
  readonly title: string;
  readonly bytes: Uint8Array;
  readonly differences: readonly ByteRange[];
  readonly side: "received" | "fitting";
}

export function Side({ title, bytes, differences, side }: SideProps) {
  return (
    <figure>
      <figcaption>
        {title} <span class="dim">{size(bytes.length)}</span>
      </figcaption>
      <Hex bytes={bytes} marks={marksOf(differences, side)} label={title} onlyMarked />
    </figure>
  );
}

function Lines({ bytes }: { readonly bytes: Uint8Array }) {
  const lines = useMemo(() => linesOf(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)), [bytes]);
  return (
    <VirtualList
      class="text"
      maxHeight={420}
      label="Text of the body"
      count={lines.length}
      rowHeight={20}
      row={(index) => (
        <div class="text-row">
          <Text text={lines[index] ?? ""} />
        </div>
      )}
    />
  );
}

/** Breaks a text at its line ends, and long lines at the width of the page. */
function linesOf(text: string): readonly string[] {
  const width = innerWidth < 700 ? Math.floor(innerWidth / 9.5) : LINE_MAX;
  const lines: string[] = [];
  for (const line of text.split("\n")) {
    for (let at = 0; at === 0 || at < line.length; at += width) lines.push(line.slice(at, at + width));
  }
  return lines;
}

function parsed(bytes: Uint8Array): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) };
  } catch {
    return undefined;
  }
}

import { useState } from "preact/hooks";
import { Text } from "../parts/text.js";

const OPEN_LEVELS = 3;
const CHILDREN_SHOWN = 100;
/** In characters. */
const TEXT_MAX = 2_000;

/** A JSON value whose objects and lists open and close. Closed ones cost nothing. */
export function Tree({
  value,
  name,
  level = 0,
}: {
  readonly value: unknown;
  readonly name?: string;
  readonly level?: number;
}) {
  const isContainer = typeof value === "object" && value !== null;
  const [isOpen, setOpen] = useState(level < OPEN_LEVELS);
  const [shown, setShown] = useState(CHILDREN_SHOWN);
  const label = name !== undefined && (
    <span class="key">
      <Text text={name} />:{" "}
    </span>
  );
  if (!isContainer) {
    return (
      <div class="node">
        {label}
        <Leaf value={value} />
      </div>
    );
  }
  const keys = Object.keys(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  return (
    <div class="node">
      <button type="button" class="toggle" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        {isOpen ? "▾" : "▸"} {label}
        {open}
        {!isOpen && (
          <span class="dim">
            {" "}
            {keys.length} {close}
          </span>
        )}
      </button>
      {isOpen && (
        <div class="children">
          {keys.slice(0, shown).map((key) => (
            <Tree key={key} name={key} value={(value as Record<string, unknown>)[key]} level={level + 1} />
          ))}
          {keys.length > shown && (
            <button type="button" onClick={() => setShown(shown + CHILDREN_SHOWN)}>
              Show {Math.min(CHILDREN_SHOWN, keys.length - shown)} more of {keys.length}
            </button>
          )}
        </div>
      )}
      {isOpen && close}
    </div>
  );
}

function Leaf({ value }: { readonly value: unknown }) {
  const [isWhole, setWhole] = useState(false);
  if (typeof value !== "string") return <span class="literal">{String(value)}</span>;
  const isCut = !isWhole && value.length > TEXT_MAX;
  return (
    <span class="string">
      "<Text text={isCut ? value.slice(0, TEXT_MAX) : value} />"
      {isCut && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {value.length} characters
        </button>
      )}
    </span>
  );
}

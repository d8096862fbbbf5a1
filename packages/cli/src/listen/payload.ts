import { isUtf8 } from "node:buffer";

const LINES_MAX = 20;
/** In UTF-16 units. */
const LINE_MAX = 200;
/** Deeper levels are not indented further: 5 MiB can hold two million levels. */
const INDENT_MAX = 20;

/** Returns the lines of a body for people to read: at most 20 of at most 200 characters, unless `full` is set. */
export function payloadLines(body: Uint8Array, { full = false }: { readonly full?: boolean | undefined }) {
  if (body.byteLength === 0) return [];
  if (!isUtf8(body)) return [`(${body.byteLength} bytes that are no text)`];
  const text = Buffer.from(body).toString();
  const lines = isJson(text) ? jsonLines(text) : text.trimEnd().split(/\r\n|\r|\n/);
  if (full) return lines;
  return cut(lines);
}

function* cut(lines: Iterable<string>): Generator<string> {
  let count = 0;
  for (const line of lines) {
    if (++count > LINES_MAX) {
      yield "… (--full shows all)";
      return;
    }
    yield line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)}… (--full shows all)` : line;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Yields a JSON text with a line for each value, and the values as they were written: `JSON.stringify` would
 * round long numbers and drop repeated keys, and overflow the stack if the values are nested deeply.
 */
function* jsonLines(json: string): Generator<string> {
  let depth = 0;
  let line = "";
  const indented = () => `${"  ".repeat(Math.min(depth, INDENT_MAX))}${line}`;
  const tokens = tokensOf(json);
  for (let next = tokens.next(); !next.done; ) {
    const token = next.value;
    next = tokens.next();
    if (token === "{" || token === "[") {
      line += token;
      if (next.value === "}" || next.value === "]") {
        line += next.value;
        next = tokens.next();
        continue;
      }
      yield indented();
      depth++;
      line = "";
    } else if (token === "}" || token === "]") {
      yield indented();
      depth--;
      line = token;
    } else if (token === ",") {
      line += token;
      yield indented();
      line = "";
    } else line += token === ":" ? ": " : token;
  }
  yield indented();
}

/** Yields the tokens of a text that is JSON. */
function* tokensOf(json: string): Generator<string> {
  const rest = /[{}[\],:]|[^\s{}[\],:"]+|"/g;
  for (let found = rest.exec(json); found; found = rest.exec(json)) {
    const [token] = found;
    if (token === '"') rest.lastIndex = endOfString(json, found.index);
    yield json.slice(found.index, rest.lastIndex);
  }
}

function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const char = json.charAt(at);
    if (char === "\\") at++;
    else if (char === '"') return at + 1;
  }
  return json.length;
}

import { encodeUtf8 } from "./utf8.js";

/**
 * Returns a function that replaces the secrets in a text, in each spelling that a server may answer with:
 * plain, escaped for JSON, HTML, a URL or a form, in hex, and in base64, also as a part of a longer text in
 * base64. Ignores the case of ASCII letters.
 */
export function createHider(
  secrets: Iterable<string | undefined>,
  replacement = "[hidden]",
): (text: string) => string {
  const spellings = [...new Set(secrets)].flatMap((secret) => (secret ? spellingsOf(secret) : []));
  const needles = [...new Set(spellings)];
  return (text) => {
    const ranges = viewsOf(text).flatMap((view) => needles.flatMap((needle) => rangesOf(needle, view)));
    return replaceRanges(text, ranges, replacement);
  };
}

type Range = readonly [start: number, end: number];

/** A text in which escapes are replaced by what they stand for. */
interface View {
  readonly text: string;
  /** Where each UTF-16 unit begins in the original text, then its length. `undefined` for the original itself. */
  readonly starts?: readonly number[];
}

/** A shorter text in hex or base64 may be there by chance. */
const ENCODED_MIN = 6;

/** Returns the spellings of a secret that are no escapes of single characters, in lower case. */
function spellingsOf(secret: string): readonly string[] {
  const bytes = encodeUtf8(secret);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const encoded = [hex, ...base64sOf(bytes)].filter((text) => text.length >= ENCODED_MIN);
  // A form has a plus sign for a space.
  return [secret, secret.replace(/ /g, "+"), ...encoded].map(toLower);
}

/**
 * Returns the secret in base64 and base64url, on its own and inside a longer text. There the first and last
 * characters also depend on what stands next to the secret, so they are left out.
 */
function base64sOf(bytes: Uint8Array): readonly string[] {
  const inside = [0, 1, 2].map((before) => {
    const start = Math.ceil((before * 8) / 6);
    const end = Math.floor(((before + bytes.length) * 8) / 6);
    return toBase64(Uint8Array.of(...Array<number>(before).fill(0), ...bytes)).slice(start, end);
  });
  const own = toBase64(bytes).replace(/=+$/, "");
  return [own, ...inside].flatMap((text) => [text, text.replace(/\+/g, "-").replace(/\//g, "_")]);
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** Keeps the length, unlike `toLowerCase`. */
function toLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The kinds of escapes. Each function returns what one escape stands for. */
const ESCAPES: readonly (readonly [pattern: RegExp, decode: (written: string) => string])[] = [
  [/\\(?:u[\da-f]{4}|x[\da-f]{2}|["'\\/bfnrt])/gi, decodeJson],
  // One character in UTF-8.
  [
    /%[0-7][\da-f]|%[cd][\da-f]%[89ab][\da-f]|%e[\da-f](?:%[89ab][\da-f]){2}|%f[0-7](?:%[89ab][\da-f]){3}/gi,
    decodePercent,
  ],
  [/&(?:#\d{1,8}|#x[\da-f]{1,8}|amp|lt|gt|quot|apos);/gi, decodeHtml],
];

const SHORT: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

function decodeJson(written: string): string {
  const char = written.charAt(1).toLowerCase();
  if (char === "u" || char === "x") return String.fromCharCode(Number.parseInt(written.slice(2), 16));
  return SHORT[char] ?? char;
}

function decodePercent(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    return written;
  }
}

const NAMES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function decodeHtml(written: string): string {
  const name = written.slice(1, -1).toLowerCase();
  if (!name.startsWith("#")) return NAMES[name] ?? written;
  const code = Number(name.replace("#x", "0x").replace("#", ""));
  return code <= 0x10ffff ? String.fromCodePoint(code) : written;
}

/** How many times a text may be escaped. */
const ESCAPED_MAX = 3;

/** Returns the text itself, and the views of it without escapes, for each order in which it may have been escaped. */
function viewsOf(text: string): readonly View[] {
  const views = new Map<string, View>([[text, { text }]]);
  let previous = [...views.values()];
  for (let times = 0; times < ESCAPED_MAX; times++) {
    const next = previous.flatMap((view) =>
      ESCAPES.map(([pattern, decode]) => withoutEscapes(view, pattern, decode)),
    );
    previous = next.filter((view) => !views.has(view.text));
    for (const view of previous) views.set(view.text, view);
  }
  return [...views.values()].map((view) => ({ ...view, text: toLower(view.text) }));
}

function withoutEscapes(view: View, pattern: RegExp, decode: (written: string) => string): View {
  const startOf = (index: number) => view.starts?.[index] ?? index;
  const starts: number[] = [];
  let text = "";
  const add = (part: string, start: (index: number) => number) => {
    for (let i = 0; i < part.length; i++) starts.push(start(i));
    text += part;
  };
  let end = 0;
  for (const { 0: written, index } of view.text.matchAll(pattern)) {
    const from = end;
    add(view.text.slice(from, index), (i) => startOf(from + i));
    add(decode(written), () => startOf(index));
    end = index + written.length;
  }
  if (end === 0) return view;
  add(view.text.slice(end), (i) => startOf(end + i));
  starts.push(startOf(view.text.length));
  return { text, starts };
}

function rangesOf(needle: string, { text, starts }: View): Range[] {
  const ranges: Range[] = [];
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
    const end = at + needle.length;
    ranges.push([starts?.[at] ?? at, starts?.[end] ?? end]);
  }
  return ranges;
}

function replaceRanges(text: string, ranges: readonly Range[], replacement: string): string {
  let replaced = "";
  let done = 0;
  for (const [start, end] of [...ranges].sort(([a], [b]) => a - b)) {
    // Overlapping ranges become one.
    if (start >= done) replaced += text.slice(done, start) + replacement;
    done = Math.max(done, end);
  }
  return replaced + text.slice(done);
}

import { encodeUtf8 } from "./utf8.js";

/**
 * Returns a function that replaces the secrets in a text, in each spelling that a server may answer with:
 * plain, escaped for JSON, HTML, a URL or a form, in hex, and in base64, also as a part of a longer text in
 * base64. Ignores the case.
 */
export function createHider(
  secrets: Iterable<string | undefined>,
  replacement = "[hidden]",
): (text: string) => string {
  const given = [...new Set(secrets)].flatMap((secret) => secret || []);
  // Longer ones first, because a secret may begin with another one.
  const patterns = given.sort((a, b) => b.length - a.length).map(patternFor);
  return (text) => patterns.reduce((left, pattern) => left.replace(pattern, () => replacement), text);
}

/** A shorter text in hex or base64 may be there by chance. */
const ENCODED_MIN = 6;

function patternFor(secret: string): RegExp {
  const bytes = encodeUtf8(secret);
  const encoded = [[...bytes].map(hex).join(""), ...base64sOf(bytes)];
  const long = encoded.filter((text) => text.length >= ENCODED_MIN);
  return new RegExp([secret, ...new Set(long)].map(spell).join("|"), "giu");
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

/** Returns the source of a regular expression for a text in which each character may be escaped. */
function spell(text: string): string {
  // A run of backslashes is one part: several parts could match one text in too many ways.
  return (text.match(/\\+|[^\\]/gsu) ?? [])
    .map((part) => (part.startsWith("\\") ? spellBackslashes(part.length) : spellCharacter(part)))
    .join("");
}

/** JSON doubles a backslash, and JSON inside JSON doubles it once more. */
function spellBackslashes(length: number): string {
  const encoded = "(?:\\\\{1,4}u005c|%(?:25)*5c|&(?:amp;)*#(?:0*92|x0*5c);)".repeat(length);
  return `(?:\\\\{${length},${4 * length}}|${encoded})`;
}

/** The names of characters in HTML. */
const NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({ "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos" }),
);

/** The short escapes of JSON. */
const ESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries({ "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", '"': '"', "'": "'", "/": "/" }),
);

function spellCharacter(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const units = Array.from({ length: char.length }, (_, index) => char.charCodeAt(index));
  const name = NAMES.get(char);
  const short = ESCAPES.get(char);
  const spellings = [
    ...(name === undefined ? [] : [`&(?:amp;)*${name};`]),
    `&(?:amp;)*#(?:0*${code}|x0*${code.toString(16)});`,
    units.map((unit) => `\\\\{1,4}u${unit.toString(16).padStart(4, "0")}`).join(""),
    ...(short === undefined ? [] : [`\\\\{1,4}${short}`]),
    [...encodeUtf8(char)].map((byte) => `%(?:25)*${hex(byte)}`).join(""),
    ...(char === " " ? ["\\+"] : []),
    char.replace(/[/$()*+.?[\]^{|}]/, "\\$&"),
  ];
  return `(?:${spellings.join("|")})`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/**
 * Characters that write to a terminal, end a line, are invisible or change the direction of a text, and
 * surrogates without their other half.
 */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Returns a text from elsewhere on one line, with `\u{1b}` in place of an escape character, for people to read. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
}

/** Returns a JSON text in which `\u001b` stands for an escape character, so that it is the same JSON. */
export function escapeControlsInJson(json: string): string {
  return json.replace(CONTROLS, (char) =>
    Array.from(
      { length: char.length },
      (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

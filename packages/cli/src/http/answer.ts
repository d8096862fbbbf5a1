import { isUtf8 } from "node:buffer";
import { headersOf } from "@crowdhook/core/internal";
import { counted } from "../output.js";
import type { Answer } from "./exchange.js";

/** Returns a number with three digits. */
export function rounded(value = 0): number {
  return Number(value.toPrecision(3));
}

/** Returns an answer in short: `200  1 handled  3.1 ms`. */
export function answerOf(answer: Answer): string {
  const { code, outcomes } = parseReply(answer);
  const target = answer.status >= 300 && answer.status < 400 && headersOf(answer.headers).get("location");
  return [
    answer.status,
    code ?? counted(outcomes),
    target && `redirects to ${target}`,
    `${rounded(answer.milliseconds)} ms`,
  ]
    .filter(Boolean)
    .join("  ");
}

const OUTCOMES = ["handled", "ignored", "duplicate", "failed", "busy", "unrecognized"];

/** Reads the code and the counts in a reply of crowdhook. Other servers send other bodies. */
export function parseReply({ body }: Pick<Answer, "body">): {
  code?: string;
  outcomes: Record<string, number>;
} {
  let value: Record<string, unknown> = {};
  try {
    // Replies of crowdhook are smaller.
    if (body.byteLength < 10_000) value = Object(JSON.parse(body.toString()));
  } catch {}
  const { code } = value;
  const outcomes = OUTCOMES.flatMap((name) => (typeof value[name] === "number" ? [[name, value[name]]] : []));
  return {
    ...(typeof code === "string" && { code: code.slice(0, 100) }),
    outcomes: Object.fromEntries(outcomes),
  };
}

const LINES_MAX = 5;
/** In UTF-16 units. */
const LINE_MAX = 200;
const HTML_MAX = 10_000;

/** Returns the first lines of an answer's body that are not empty; none for a reply of which `answerOf` says all. */
export function firstLines(answer: Answer, isExpected: boolean): readonly string[] {
  const { body } = answer;
  const { code, outcomes } = parseReply(answer);
  const isSaid = code !== undefined || Object.keys(outcomes).length > 0;
  if (body.byteLength === 0 || (isExpected && isSaid)) return [];
  const headers = headersOf(answer.headers);
  const encoding = headers.get("content-encoding");
  if (encoding) return [`(${body.byteLength} bytes, encoded as ${encoding})`];
  if (!isUtf8(body)) return [`(${body.byteLength} bytes that are no text)`];
  const isHtml = /^text\/html\b/i.test(headers.get("content-type") ?? "");
  const text = isHtml ? textOfHtml(body.toString().slice(0, HTML_MAX)) : body.toString();
  const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim() !== "");
  const first = lines
    .slice(0, LINES_MAX)
    .map((line) => (line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)}…` : line));
  return lines.length > LINES_MAX ? [...first, `… and ${lines.length - LINES_MAX} more lines`] : first;
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  "#39": "'",
  nbsp: " ",
};

/** Returns what an error page says: the first lines of its source say nothing. */
function textOfHtml(html: string): string {
  return html
    .replace(/<(head|style|script)\b.*?<\/\1>/gis, "")
    .replace(/<br\b[^>]*>/gi, "\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&(amp|lt|gt|quot|#39|nbsp);/g, (_, name: string) => ENTITIES[name] ?? "");
}

import { createHider, headersOf } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import type { HeaderLine } from "../wire.js";
import type { Captured, Source } from "./captured.js";

/** The word that stands for a secret. */
const HIDDEN = "[hidden]";

/** Headers that may hold a credential of the app or of a proxy. */
const CREDENTIALS =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key)$|token|secret|password/i;

/** Looking for every spelling of a secret takes seconds in a longer text. */
const SEARCHED_MAX = 256 * 1024;

/** Keeps the secrets of a delivery from the page. */
export interface Hiding {
  text(text: string): string;
  headers(lines: HeaderLines): readonly HeaderLine[];
  /** Returns a copy in which every text is without secrets. */
  json<T>(value: T): T;
  /** Returns the same bytes if they hold no secret. */
  bytes(bytes: Uint8Array): Uint8Array;
}

export function createHiding(secrets: readonly string[]): Hiding {
  const distinct = [...new Set(secrets)].filter((secret) => secret !== "");
  const hide = distinct.length === 0 ? (text: string) => text : createHider(distinct, HIDDEN);
  const inText = (text: string) => (text.length <= SEARCHED_MAX ? hide(text) : hidePlain(text, distinct));
  return {
    text: inText,
    json: (value) => (distinct.length === 0 ? value : hideInJson(value, inText)),

    headers: (lines) =>
      lines.map(([name, value]) => {
        const shown = CREDENTIALS.test(name) ? HIDDEN : inText(value);
        return { name, value: shown, isHidden: shown !== value };
      }),

    bytes(bytes) {
      if (distinct.length === 0) return bytes;
      // One character for each byte, so that the bytes come back unchanged.
      const text = Buffer.from(bytes).toString("latin1");
      const latin = distinct.map((secret) => Buffer.from(secret).toString("latin1"));
      const hidden = text.length <= SEARCHED_MAX ? createHider(latin, HIDDEN)(text) : hidePlain(text, latin);
      return hidden === text ? bytes : Buffer.from(hidden, "latin1");
    },
  };
}

function hideInJson<T>(value: T, hide: (text: string) => string): T {
  if (typeof value === "string") return hide(value) as T;
  if (Array.isArray(value)) return value.map((item) => hideInJson(item, hide)) as T;
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, hideInJson(field, hide)] as const);
  return Object.fromEntries(fields) as T;
}

function hidePlain(text: string, secrets: readonly string[]): string {
  return secrets.reduce((hidden, secret) => hidden.replaceAll(secret, HIDDEN), text);
}

/** Returns the secrets that are known without a delivery. Never rejects. */
export async function standingSecrets(sources: readonly Source[]): Promise<readonly string[]> {
  const delivery = { method: "POST", headers: headersOf([]), body: new Uint8Array() };
  const lists = await Promise.all(sources.map((source) => source.secretsFor(delivery).catch(() => [])));
  return lists.flat();
}

/** Returns the secrets of a delivery's own source and, apart, those of the others. Never rejects. */
export async function secretsOf(
  { source, method, headers, body = new Uint8Array() }: Captured,
  sources: readonly Source[],
): Promise<{ readonly own: readonly string[] | undefined; readonly others: readonly string[] }> {
  const delivery = { method, headers: headersOf(headers), body };
  const ask = (each: Source) => each.secretsFor(delivery).catch(() => undefined);
  const own = source && (await ask(source));
  const others = await Promise.all(sources.filter((each) => each !== source).map(ask));
  return { own, others: others.flatMap((secrets) => secrets ?? []) };
}

import { readFileSync } from "node:fs";
import type { Sender } from "@crowdhook/core/testing";
import { NOW } from "./started.js";

/** A delivery that other code signed. */
export interface Genuine {
  readonly name: string;
  readonly secret: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** When it was signed: Unix time in milliseconds. `NOW` if the provider signs no time. */
  readonly time: number;
  readonly types: readonly string[];
}

interface Stored {
  readonly name: string;
  readonly secret: string;
  readonly body: string;
  /** Absent if the vector has one header, in `header`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly header?: string;
}

/** Returns the provider's deliveries in `vectors`. */
export function genuineVectors({ provider, typeField }: Sender): readonly Genuine[] {
  const { headers: names, aliases = [], timestamp } = provider.signatureFormat;
  const timeAt = names.findIndex((name) => name.toLowerCase() === timestamp?.header.toLowerCase());
  const timeHeaders = [names, ...aliases].map((each) => each[timeAt]?.toLowerCase() ?? "");
  const file = new URL(`vectors/${provider.name}.json`, import.meta.url);
  const stored: readonly Stored[] = JSON.parse(readFileSync(file, "utf8")).valid;
  return stored.map(({ name, secret, body, header, headers = { [names[0]]: header ?? "" } }) => {
    const lower = Object.fromEntries(
      Object.entries(headers).map(([each, value]) => [each.toLowerCase(), value]),
    );
    const sentTime = timeHeaders.map((each) => lower[each]).find((value) => value !== undefined);
    const [, digits] = timestamp?.pattern.exec(sentTime ?? "") ?? [];
    // The digits decide the unit, not the definition, so a wrong unit in the definition fails the tests.
    const unit = (digits?.length ?? 0) > 11 ? 1 : 1000;
    const content = JSON.parse(body);
    const events: readonly Record<string, string>[] = content.events ?? [content];
    return {
      name,
      secret,
      headers: lower,
      body,
      time: digits === undefined ? NOW : Number(digits) * unit,
      types: events.map((event) => event[typeField] ?? ""),
    };
  });
}

/**
 * Returns copies of a text. In each copy one number outside the digest is incremented or gets a leading zero.
 */
export function withOtherNumbers(text: string): readonly string[] {
  const { digest, before, after } = splitAtDigest(text);
  const around = `${before}\0${after}`;
  return [...around.matchAll(/\d+/g)].flatMap(({ 0: number, index }) =>
    [String(Number(number) + 1), `0${number}`].map((other) =>
      `${around.slice(0, index)}${other}${around.slice(index + number.length)}`.replace("\0", digest),
    ),
  );
}

/**
 * Returns copies of a text. Each copy but the last has another digit at one place of the digest. The last
 * copy lacks the last character: base64 without its `=` decodes to the same bytes, and core must refuse it.
 */
export function withOtherDigits(text: string, placesIn: (digest: string) => number[]): readonly string[] {
  const { digest, before, after } = splitAtDigest(text);
  if (digest === "") return [];
  const changed = placesIn(digest).map((place) => {
    const other = digest[place] === "0" ? "1" : "0";
    return `${digest.slice(0, place)}${other}${digest.slice(place + 1)}`;
  });
  return [...changed, digest.slice(0, -1)].map((each) => `${before}${each}${after}`);
}

/** Splits a text at its digest. In a signature header, only the digest has 40 or more such characters. */
function splitAtDigest(text: string): { digest: string; before: string; after: string } {
  const { 0: digest = "", index = text.length } = /[0-9A-Za-z+/]{40,}=*/.exec(text) ?? {};
  return { digest, before: text.slice(0, index), after: text.slice(index + digest.length) };
}

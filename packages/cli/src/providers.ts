import type { DeliveryHeaders, Provider } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import { UsageError } from "./output.js";
import { hidden } from "./prompt.js";

export type ProviderName = "toloka" | "prolific";

interface Known {
  readonly title: string;
  readonly provider: Provider;
  /** The variable with its secrets. */
  readonly variable: string;
}

// Without the types of their events, which are shown and not handled.
export const PROVIDERS: Readonly<Record<ProviderName, Known>> = {
  toloka: { title: "Toloka", provider: toloka as unknown as Provider, variable: "TOLOKA_SECRET" },
  prolific: { title: "Prolific", provider: prolific as unknown as Provider, variable: "PROLIFIC_SECRET" },
};

export const PROVIDER_NAMES = Object.keys(PROVIDERS) as ProviderName[];

/** Whose headers these are, whether or not they can be read. */
export function providerOfHeaders(headers: DeliveryHeaders): ProviderName | undefined {
  if (headers.get("toloka-signature")) return "toloka";
  const names = ["x-prolific-request-signature", "x-prolific-request-timestamp", "x-event-id"];
  return names.some((name) => headers.get(name)) ? "prolific" : undefined;
}

/** Whose delivery this looks like: by its headers, or else by its body. */
export function providerOf(headers: DeliveryHeaders, body: Uint8Array): ProviderName | undefined {
  const byHeaders = providerOfHeaders(headers);
  if (byHeaders) return byHeaders;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value !== "object" || value === null) return undefined;
    if ("event_type" in value) return "prolific";
    return "events" in value || "uuid" in value ? "toloka" : undefined;
  } catch {
    return undefined;
  }
}

export interface SecretOptions {
  readonly secret?: readonly string[];
}

/** As given, white space and all; empty if there are none. */
export function givenSecrets(name: ProviderName, { secret }: SecretOptions): readonly string[] {
  if (secret) return secret;
  const { [PROVIDERS[name].variable]: list = "" } = process.env;
  return list === "" ? [] : list.split(",");
}

/** Such that a receiver takes them. */
export function secretsFor(name: ProviderName, options: SecretOptions): readonly string[] {
  const secrets = givenSecrets(name, options);
  const source = options.secret ? "--secret" : PROVIDERS[name].variable;
  for (const secret of secrets) {
    if (secret === "") throw new UsageError(`${source} holds a secret that is empty.`);
    if (secret !== secret.trim()) {
      throw new UsageError(
        `A secret in ${source} begins or ends with white space, perhaps the line break of the file it came from. Trim it.`,
      );
    }
  }
  return secrets;
}

/** Asks for a secret if there is none and someone is there to ask. */
export async function askedSecrets(
  name: ProviderName,
  secrets: readonly string[],
): Promise<readonly [string, ...string[]]> {
  const [first, ...others] = secrets;
  if (first !== undefined) return [first, ...others];
  const { title, variable } = PROVIDERS[name];
  return [await hidden(`${title}'s secret`, variable)];
}

/** The one that was meant, perhaps. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= candidate.length / 3)
    .sort((a, b) => a.distance - b.distance);
  return best?.candidate;
}

/** How many letters must be added, removed or replaced (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (letter === b[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

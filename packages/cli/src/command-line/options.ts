import type { Provider } from "@crowdhook/core";
import { InvalidArgumentError, Option } from "commander";
import { listed } from "../output.js";
import { PROVIDERS } from "../providers.js";

/** In columns, as commander wraps where there is no terminal. */
const HELP_WIDTH = 80;

export const SECRET_VARIABLES = listed(
  PROVIDERS.map(({ secretVariable }) => secretVariable),
  "and",
);

/** Every event type of each provider, wrapped, for the help. */
export const EVENT_TYPES = `
Event types:
${PROVIDERS.filter(({ eventTypes }) => eventTypes.length > 0)
  .map(({ title, eventTypes }) => `  ${title}:\n${wrapped(eventTypes.join(", "), "    ")}`)
  .join("\n")}`;

function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= HELP_WIDTH) lines.push(`${indent}${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join("\n");
}

export const TITLES = listed(
  PROVIDERS.map(({ title }) => title),
  "and",
);

export const EXIT_STATUS =
  "\nExit status: 0 on success, 1 on failure, 2 for a mistake in the command line or the environment.";

/** For commands that ask for a missing secret. */
export const SECRETS = `
Secrets are read from the environment: ${SECRET_VARIABLES}, several separated by commas.
If one is missing, the command asks for it on a terminal.`;

/** For `listen`, which runs without secrets, too. */
export const OPTIONAL_SECRETS = `Secrets are read from the environment: ${SECRET_VARIABLES}, several separated by commas.
Without the secret of a provider, its deliveries are not verified.`;

const DEFAULT_PATHS = listed(
  PROVIDERS.map(({ defaultPath }) => defaultPath),
  "or",
);

export const ENDPOINT = `the endpoint; without a path, ${DEFAULT_PATHS} is added`;

export function providerOption(providers: readonly Provider[] = PROVIDERS): Option {
  return new Option("--provider <name>", "the provider of the webhooks").choices(
    providers.map(({ name }) => name),
  );
}

/** Every event type, for a shell to complete. */
export const ALL_TYPES = PROVIDERS.flatMap(({ eventTypes }) => eventTypes);

export function secretOption(): Option {
  return new Option(
    "--secret <secret>",
    "secret (repeatable). Prefer the environment variable: other users can read command lines",
  ).argParser(several);
}

export function jsonOption(): Option {
  return new Option("--json", "print JSON and nothing else on standard output");
}

export function timeoutOption(): Option {
  return new Option("--timeout <seconds>", "how long to wait for an answer").argParser(positive).default(30);
}

/** Parses an option that can be given several times. */
export function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function whole(value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

export function positive(value: string): number {
  const number = Number(value);
  if (value.trim() !== "" && number > 0 && number < 2_000_000) return number;
  throw new InvalidArgumentError("It must be a number above 0.");
}

/** Parses a status, or a class of them. */
export function statuses(value: string, before: readonly string[] = []): readonly string[] {
  if (/^[1-5](\d\d|xx)$/i.test(value)) return [...before, value.toLowerCase()];
  throw new InvalidArgumentError("It must be a status such as 401, or a class of them such as 4xx.");
}

/** Parses `20` or `20/s`. */
export function rate(value: string): number {
  return positive(value.replace(/\/s$/, ""));
}

const SPANS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses a time: a span before now such as `2h`, or ISO 8601 with an offset. */
export function since(value: string): Date {
  const [, count = "", unit = ""] = /^([1-9]\d{0,5})([mhd])$/.exec(value) ?? [];
  if (unit !== "") return new Date(Date.now() - Number(count) * (SPANS[unit] ?? 0));
  const time = new Date(/^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:?\d\d)$/.test(value) ? value : Number.NaN);
  if (!Number.isNaN(Number(time))) return time;
  throw new InvalidArgumentError("It must be a span such as 30m, 2h or 3d, or ISO 8601 with an offset.");
}

export function port(value: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number <= 65_535) return number;
  throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
}

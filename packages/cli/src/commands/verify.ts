import type { DeliveryHeaders, Provider } from "@crowdhook/core";
import {
  findMistakes,
  fitsSecret,
  type Inspection,
  inspect,
  type Mistake,
  type Suspect,
} from "@crowdhook/core/inspect";
import { headersOf } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import { shownEvents } from "../events.js";
import { capitalized, colours, duration, marked, print, printJson, UsageError } from "../output.js";
import { PROVIDERS, providerNamed, providerOf } from "../providers.js";
import { askedSecrets, givenSecrets, type SecretOptions } from "../secrets.js";
import { load, readBytes } from "../stored.js";

export interface VerifyOptions extends SecretOptions {
  readonly header?: readonly string[];
  readonly body?: string;
  readonly provider?: string;
  readonly tolerance?: number;
  readonly json?: boolean;
}

/** A delivery to verify. */
interface Given {
  readonly lines: HeaderLines;
  readonly body: Uint8Array;
  /** Unix time in milliseconds; `undefined` if the delivery is not a stored one. */
  readonly receivedAt?: number;
}

interface Verdict {
  readonly code:
    | "SIGNATURE_MISSING"
    | "SIGNATURE_MALFORMED"
    | "SIGNATURE_MISMATCH"
    | "TIMESTAMP_OUT_OF_TOLERANCE"
    | undefined;
  /** The position of the secret that fits, counted from 0; -1 if none fits. */
  readonly secret: number;
  /** In seconds; `undefined` if the signature cannot be read. */
  readonly age: number | undefined;
  readonly isInWrongUnit: boolean;
  readonly mistakes: readonly Mistake[];
}

/** A receiver takes 5 MiB by default, and the user waits for the result. The body may come from a stranger. */
const EFFORT = { hashed: 1024 * 1024 * 1024, parsed: 5 * 1024 * 1024 };

/**
 * Resolves with whether the signature fits, its time is in the provider's unit and, with
 * `--tolerance`, not too old.
 */
export async function verify(file: string | undefined, options: VerifyOptions): Promise<boolean> {
  const given = file === undefined ? await givenParts(options) : await givenFile(file, options);
  const headers = headersOf(given.lines);
  const provider = providerNamed(options.provider) ?? providerOf(headers, given.body);
  if (!provider)
    throw new UsageError("Neither the headers nor the body tell whose delivery this is. Pass --provider.");
  const secrets = await askedSecrets(provider, givenSecrets(provider, options));
  const verdict = await judge(provider, given, secrets, options);
  const isGood = verdict.code === undefined;
  const { events, reason } = await read(provider, headers, given.body);
  const { shown, leftOut } = shownEvents(events);

  if (options.json) {
    const { code, secret, age, mistakes } = verdict;
    printJson({
      provider: provider.name,
      ok: isGood,
      code,
      secret: secret < 0 ? undefined : secret + 1,
      age,
      events: shown,
      ...(leftOut > 0 && { eventsLeftOut: leftOut }),
      mistakes,
    });
    return isGood;
  }
  const { age, isInWrongUnit } = verdict;
  const signed = age === undefined || isInWrongUnit ? "" : `, ${aged(age, given.receivedAt)}`;
  print(`${provider.title}, ${given.body.byteLength} bytes${signed}`);
  if (reason) print(marked(false, reason));
  for (const event of shown) print(`  ${event.type}  ${colours.dim(event.id)}`);
  if (leftOut > 0) print(`  … and ${leftOut} more events`);
  printVerdict(verdict, secrets.length, options);
  if (!isGood) printMistakes(provider, verdict);
  return isGood;
}

/** Returns the events, or the reason why there are none. */
async function read(
  provider: Provider,
  headers: DeliveryHeaders,
  body: Uint8Array,
): Promise<Pick<Inspection, "events" | "reason">> {
  try {
    return await inspect(provider, { headers, body }, { secrets: [] });
  } catch (error) {
    return { events: [], reason: `The body could not be read: ${error}` };
  }
}

/** Searches for all mistakes; if the body is made so that a search fails, for those that need no parsing. */
async function search(
  provider: Provider,
  others: readonly Provider[],
  suspect: Suspect,
): Promise<readonly Mistake[]> {
  try {
    return await findMistakes(provider, others, suspect, EFFORT);
  } catch {
    return findMistakes(provider, others, suspect, { ...EFFORT, parsed: 0 });
  }
}

async function judge(
  provider: Provider,
  { lines, body, receivedAt = Date.now() }: Given,
  secrets: readonly string[],
  { tolerance = Number.POSITIVE_INFINITY }: VerifyOptions,
): Promise<Verdict> {
  const headers = headersOf(lines);
  const others = PROVIDERS.filter((other) => other !== provider);
  const otherSecrets = others.flatMap((other) => givenSecrets(other));
  const mistakes = await search(provider, others, { secrets, otherSecrets, headers, body });
  const isInWrongUnit = mistakes.some(({ name, found }) => name === "time-unit" && found);

  const signature = provider.parseSignature(headers);
  if (typeof signature === "string") {
    return { code: signature, secret: -1, age: undefined, isInWrongUnit, mistakes };
  }
  const fits = await Promise.all(secrets.map((secret) => fitsSecret(provider, secret, signature, body)));
  const secret = fits.indexOf(true);
  const age = signature.timestamp === undefined ? undefined : (receivedAt - signature.timestamp) / 1000;
  const isOutOfTolerance = isInWrongUnit || (age !== undefined && Math.abs(age) > tolerance);
  const code =
    secret < 0 ? "SIGNATURE_MISMATCH" : isOutOfTolerance ? "TIMESTAMP_OUT_OF_TOLERANCE" : undefined;
  return { code, secret, age, isInWrongUnit, mistakes };
}

function printVerdict(
  { code, secret, age = 0, isInWrongUnit }: Verdict,
  secrets: number,
  { tolerance }: VerifyOptions,
): void {
  if (secret < 0) {
    print(marked(false, `${SENTENCES[code as keyof typeof SENTENCES]} (${code})`));
    return;
  }
  const which = secrets > 1 ? `, with secret ${secret + 1} of ${secrets}` : "";
  print(marked(true, `The signature fits${which}.`));
  if (isInWrongUnit)
    print(marked(false, `Its time is in the wrong unit, so a receiver refuses it (${code}).`));
  else if (code) print(marked(false, `It is older than ${tolerance} s (${code}).`));
  else if (Math.abs(age) > 300) {
    print(
      colours.dim(
        "  A receiver would refuse it now, because by default it tolerates a time 300 seconds off.",
      ),
    );
  }
}

const SENTENCES = {
  SIGNATURE_MISSING: "There is no signature.",
  SIGNATURE_MALFORMED: "The signature cannot be read.",
  SIGNATURE_MISMATCH: "The signature does not fit.",
};

function printMistakes({ title }: Provider, { secret, mistakes }: Verdict): void {
  print();
  for (const { mistake, fix, found } of mistakes) {
    if (found) {
      const end = fix.endsWith("?") ? "" : ".";
      print(`${colours.yellow("found".padEnd(12))} ${colours.bold(mistake)}. ${capitalized(fix)}${end}`);
    } else print(colours.dim(`${(found === false ? "not found" : "not checked").padEnd(12)} ${mistake}`));
  }
  if (secret < 0 && !mistakes.some(({ found }) => found)) {
    print();
    print(`None of these. ${title} signs with another secret, or something changed the body on its way.`);
  }
}

function aged(age: number, receivedAt: number | undefined): string {
  const length = duration(Math.abs(age));
  if (receivedAt !== undefined) return `signed ${length} ${age < 0 ? "after" : "before"} it was received`;
  return age < 0 ? `signed ${length} in the future` : `signed ${length} ago`;
}

async function givenFile(file: string, { header, body }: VerifyOptions): Promise<Given> {
  if (header || body) throw new UsageError("Pass a stored delivery, or --header and --body, not both.");
  const delivery = await load(file);
  return { lines: delivery.headers, body: delivery.body, receivedAt: delivery.receivedAt.getTime() };
}

async function givenParts({ header = [], body }: VerifyOptions): Promise<Given> {
  if (body === undefined) throw new UsageError("Pass a stored delivery, or --header and --body.");
  const lines = header.map((line) => {
    const [, name, value] = /^\s*([\w-]+)\s*:(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(`A --header is "Name: value", not ${JSON.stringify(line)}.`);
    }
    return [name, value.trim()] as const;
  });
  return { lines, body: await readBytes(body) };
}

import { isUtf8 } from "node:buffer";
import type { Provider } from "@crowdhook/core";
import { inspect } from "@crowdhook/core/inspect";
import { headersOf, type StoredDelivery, signAgain } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import { endpoint } from "../http/endpoint.js";
import { agentFor, exchange, trouble } from "../http/exchange.js";
import { colours, type Failure, marked, print, printJson, UsageError } from "../output.js";
import { eventIdOf, providerOf, senderOf } from "../providers.js";
import { askedSecrets, givenSecrets, type SecretOptions, secretsFor, signingSecretName } from "../secrets.js";
import { loadAll, type SkippedFile, type StoredFile } from "../stored.js";
import { pace, progress, Tally } from "../tally.js";
import { printAnswer } from "./answers.js";
import { Explanations, type Refused } from "./refusals.js";

export interface ReplayOptions extends SecretOptions {
  readonly to: string;
  readonly resign?: boolean;
  readonly rate?: number;
  readonly timeout: number;
  readonly json?: boolean;
}

/**
 * Sends one delivery after another, which keeps their order. Resolves with whether every answer was 2xx and
 * no file was skipped.
 */
export async function replay(paths: readonly string[], options: ReplayOptions): Promise<boolean> {
  const { json } = options;
  const to = endpoint(options.to, "--to");
  const { ready, skipped } = await prepare(paths, options);

  const tally = new Tally((status) => status >= 200 && status < 300);
  const explanations = new Explanations();
  const agent = agentFor(to("/"), 1);
  const turn = pace(options.rate);
  const bar = json || process.stdout.isTTY ? undefined : await progress(ready.length);
  if (!json) for (const { file, why } of skipped) print(`${colours.yellow("–")} ${file}  skipped: ${why}`);
  let failure: Failure | undefined;
  for (const { file, delivery, signed } of ready) {
    await turn();
    const url = to(delivery.path);
    try {
      const answer = await exchange({ ...signed(), url }, { agent, timeout: options.timeout });
      const isExpected = tally.answered(answer);
      if (!json) printAnswer(file, answer, isExpected);
      if (!isExpected) await explain(explanations, { url, answer }, delivery, options);
    } catch (error) {
      const why = trouble(error, url);
      tally.failed(why.message);
      if (tally.isEmpty) {
        failure = why;
        break;
      }
      if (!json) print(marked(false, `${file}  ${why.message}`));
    }
    bar?.increment();
  }
  bar?.stop();
  agent.destroy();
  printEnd({ tally, skipped, explanations }, options);
  if (failure) throw failure;
  return tally.isAsExpected && skipped.length === 0;
}

interface End {
  readonly tally: Tally;
  readonly skipped: readonly SkippedFile[];
  readonly explanations: Explanations;
}

function printEnd({ tally, skipped, explanations }: End, { to, json, resign }: ReplayOptions): void {
  const isTooOld = !resign && tally.has("TIMESTAMP_OUT_OF_TOLERANCE");
  const hints = [
    ...explanations.all,
    ...(isTooOld
      ? ["They were signed too long ago for this receiver. --resign signs them with the current time."]
      : []),
  ];
  if (json) {
    const hint = hints.join(" ");
    printJson({ to, ...tally.toJSON(), ...(skipped.length > 0 && { skipped }), ...(hint && { hint }) });
    return;
  }
  if (tally.isEmpty) return;
  print();
  tally.print({ areShown: true });
  if (skipped.length > 0) print(marked(false, `${skipped.length} skipped`));
  for (const hint of hints) print(hint);
}

/** A stored delivery that can be sent. */
interface Ready extends StoredFile {
  /** Returns the delivery as it is sent, signed with the time of the call if so wished. */
  signed(): StoredDelivery;
}

/**
 * Reads the files, and apart from the deliveries returns those that cannot be sent.
 *
 * @throws UsageError if there is nothing to send.
 */
async function prepare(paths: readonly string[], options: ReplayOptions) {
  const { stored, skipped } = await loadAll(paths);
  const ready: Ready[] = [];
  const unsigned: SkippedFile[] = [];
  const secrets = new Map<Provider, string>();
  for (const each of stored) {
    const { file, delivery } = each;
    const provider = options.resign ? signableProvider(delivery) : undefined;
    if (typeof provider === "string") unsigned.push({ file, why: provider });
    else if (provider === undefined) ready.push({ ...each, signed: () => delivery });
    else {
      const secret =
        secrets.get(provider) ?? (await askedSecrets(provider, secretsFor(provider, options)))[0];
      secrets.set(provider, secret);
      ready.push({ ...each, signed: () => ({ ...delivery, headers: resign(delivery, provider, secret) }) });
    }
  }
  const all = [...skipped, ...unsigned];
  const [first, ...others] = all;
  if (ready.length > 0) return { ready, skipped: all };
  if (first === undefined) throw new UsageError("These paths contain no stored deliveries.");
  const more = others.length > 0 ? ` ${others.length} more cannot be sent either.` : "";
  throw new UsageError(`${first.file} cannot be sent: ${first.why}.${more}`);
}

/** Returns the provider that signs the delivery, or why none does. */
function signableProvider({ headers, body }: StoredDelivery): Provider | string {
  if (!isUtf8(body)) return "its body is not UTF-8, which no provider sends";
  return providerOf(headersOf(headers), body) ?? "neither its headers nor its body tell the provider";
}

async function explain(
  explanations: Explanations,
  answered: Pick<Refused, "url" | "answer">,
  { headers, body }: StoredDelivery,
  options: ReplayOptions,
): Promise<void> {
  const lines = headersOf(headers);
  const provider = providerOf(lines, body);
  if (provider === undefined) return;
  const signer = options.resign
    ? { secret: signingSecretName(provider, options) }
    : await signerOf(provider, { headers: lines, body }, options);
  explanations.add({ ...answered, provider, ...signer });
}

/** Looks for the secret that signed a delivery before it was stored. */
async function signerOf(
  provider: Provider,
  delivery: Parameters<typeof inspect>[1],
  options: SecretOptions,
): Promise<Pick<Refused, "secret" | "fitsNoneIn">> {
  const secrets = givenSecrets(provider, options);
  const place = options.secret ? "--secret" : provider.secretVariable;
  const unknown = { secret: "the one that signed the delivery" };
  if (secrets.length === 0) return unknown;
  // The check of the secrets throws for white space.
  const inspection = await inspect(provider, delivery, { secrets }).catch(() => undefined);
  if (inspection === undefined) return unknown;
  return inspection.secret === undefined
    ? { ...unknown, fitsNoneIn: place }
    : { secret: `the one in ${place}, which signed the delivery` };
}

/** Returns the headers with a new signature. */
function resign({ headers, body }: StoredDelivery, provider: Provider, secret: string): HeaderLines {
  const id = eventIdOf(provider, headersOf(headers), body);
  return signAgain(senderOf(provider), secret, { headers, body, id });
}

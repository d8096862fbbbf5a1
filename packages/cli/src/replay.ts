import { isUtf8 } from "node:buffer";
import type { SignedDelivery } from "@crowdhook/core/testing";
import { agentFor, endpoint, exchange, type HeaderLines, headersOf, trouble } from "./exchange.js";
import { Failure, marked, plain, print, printJson, UsageError } from "./output.js";
import { askedSecrets, type ProviderName, providerOf, type SecretOptions, secretsFor } from "./providers.js";
import { loadAll, type StoredDelivery } from "./stored.js";
import { answerOf, pace, progress, Tally } from "./tally.js";

export interface ReplayOptions extends SecretOptions {
  readonly to: string;
  readonly resign?: boolean;
  readonly rate?: number;
  readonly timeout: number;
  readonly json?: boolean;
}

/** Resolves with whether every answer was 2xx. One delivery after another: their order is kept. */
export async function replay(paths: readonly string[], options: ReplayOptions): Promise<boolean> {
  const { json, resign } = options;
  const to = endpoint(options.to, "--to");
  const stored = await loadAll(paths);
  if (stored.length === 0) throw new UsageError("There are no stored deliveries there.");
  const signed = resign ? await signerFor(stored, options) : (delivery: StoredDelivery) => delivery;

  const tally = new Tally((status) => status >= 200 && status < 300);
  const agent = agentFor(to("/"), 1);
  const turn = pace(options.rate);
  const bar = json || process.stdout.isTTY ? undefined : await progress(stored.length);
  let failure: Failure | undefined;
  for (const { file, delivery } of stored) {
    await turn();
    const url = to(delivery.path);
    try {
      const answer = await exchange({ ...signed(delivery), url }, { agent, timeout: options.timeout });
      const isExpected = tally.answered(answer);
      if (!json) print(marked(isExpected, `${plain(file)}  ${answerOf(answer)}`));
    } catch (error) {
      const why = trouble(error, url);
      tally.failed(why.message);
      if (tally.isEmpty) {
        failure = why;
        break;
      }
      if (!json) print(marked(false, `${plain(file)}  ${why.message}`));
    }
    bar?.increment();
  }
  bar?.stop();
  agent.destroy();
  const hint =
    !resign && tally.has("TIMESTAMP_OUT_OF_TOLERANCE")
      ? "They were signed too long ago for this receiver. --resign signs them with the current time."
      : undefined;
  if (json) printJson({ to: options.to, ...tally.toJSON(), ...(hint && { hint }) });
  if (failure) throw failure;
  if (!json) {
    print();
    tally.print();
    if (hint) print(hint);
  }
  return tally.isAsExpected;
}

type Stored = Awaited<ReturnType<typeof loadAll>>[number];

/**
 * Signs deliveries anew, with the time at which it is called.
 *
 * @throws Failure if there is one that cannot be signed, before any is sent.
 */
async function signerFor(stored: readonly Stored[], options: SecretOptions) {
  const { signProlific, signToloka } = await import("@crowdhook/core/testing");
  const secrets: { [Name in ProviderName]?: string } = {};
  const providers = new Map<StoredDelivery, ProviderName>();
  for (const { file, delivery } of stored) {
    const { headers, body } = delivery;
    const provider = providerOf(headersOf(headers), body);
    if (!provider) throw new Failure(`${file}: neither its headers nor its body say whose delivery it is.`);
    if (!isUtf8(body)) throw new Failure(`${file}: its body is not UTF-8, which no provider sends.`);
    secrets[provider] ??= (await askedSecrets(provider, secretsFor(provider, options)))[0];
    providers.set(delivery, provider);
  }
  return (delivery: StoredDelivery): StoredDelivery => {
    const provider = providers.get(delivery) ?? "toloka";
    const sign = provider === "toloka" ? signToloka : signProlific;
    const signed = sign({ secret: secrets[provider] ?? "", body: Buffer.from(delivery.body).toString() });
    return { ...delivery, headers: replaced(delivery.headers, signed) };
  };
}

/** The headers of a signature: not those of the event, such as its id, which a redelivery has again. */
const OF_SIGNATURE = /^(toloka-signature|x-prolific-request-(signature|timestamp))$/;

function replaced(lines: HeaderLines, { headers }: SignedDelivery): HeaderLines {
  return [
    ...lines.filter(([name]) => !OF_SIGNATURE.test(name.toLowerCase())),
    ...Object.entries(headers).filter(([name]) => OF_SIGNATURE.test(name)),
  ];
}

import { isUtf8 } from "node:buffer";
import type { Provider } from "@crowdhook/core";
import type { HeaderLines } from "@crowdhook/core/testing";
import { agentFor, endpoint, exchange, headersOf, trouble } from "../exchange.js";
import { Failure, marked, print, printJson, UsageError } from "../output.js";
import { providerOf, senderOf } from "../providers.js";
import { askedSecrets, type SecretOptions, secretsFor } from "../secrets.js";
import { loadAll, type StoredDelivery } from "../stored.js";
import { answerOf, pace, progress, Tally } from "../tally.js";

export interface ReplayOptions extends SecretOptions {
  readonly to: string;
  readonly resign?: boolean;
  readonly rate?: number;
  readonly timeout: number;
  readonly json?: boolean;
}

/** Sends one delivery after another, which keeps their order. Resolves with whether every answer was 2xx. */
export async function replay(paths: readonly string[], options: ReplayOptions): Promise<boolean> {
  const { json, resign } = options;
  const to = endpoint(options.to, "--to");
  const stored = await loadAll(paths);
  if (stored.length === 0) throw new UsageError("These paths contain no stored deliveries.");
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
      if (!json) print(marked(isExpected, `${file}  ${answerOf(answer)}`));
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
 * Returns a function that signs a delivery with the time of the call.
 *
 * @throws Failure before anything is sent, if one of the deliveries cannot be signed.
 */
async function signerFor(stored: readonly Stored[], options: SecretOptions) {
  const secrets = new Map<Provider, string>();
  const signers = new Map<StoredDelivery, () => StoredDelivery>();
  for (const { file, delivery } of stored) {
    const { headers, body } = delivery;
    const provider = providerOf(headersOf(headers), body);
    if (!provider) throw new Failure(`${file}: neither the headers nor the body tell the provider.`);
    if (!isUtf8(body)) throw new Failure(`${file}: the body is not UTF-8, which no provider sends.`);
    const secret = secrets.get(provider) ?? (await askedSecrets(provider, secretsFor(provider, options)))[0];
    secrets.set(provider, secret);
    signers.set(delivery, () => ({ ...delivery, headers: resign(delivery, provider, secret) }));
  }
  return (delivery: StoredDelivery): StoredDelivery => signers.get(delivery)?.() ?? delivery;
}

/** Returns the headers with a new signature. Those of the event, such as its id, stay: a redelivery has the same. */
function resign({ headers, body }: StoredDelivery, provider: Provider, secret: string): HeaderLines {
  const sender = senderOf(provider);
  const signed = { time: sender.formatTime(Date.now()), version: "1", id: "" };
  const lines = sender.signatureHeaders({ ...signed, digest: sender.computeDigest(secret, signed, body) });
  const replaced = new Set(lines.map(([name]) => name.toLowerCase()));
  return [...headers.filter(([name]) => !replaced.has(name.toLowerCase())), ...lines];
}

import { randomUUID } from "node:crypto";
import type http from "node:http";
import type { Provider } from "@crowdhook/core";
import { suggestion } from "@crowdhook/core/internal";
import { type Sender, type SignedDelivery, signDelivery } from "@crowdhook/core/testing";
import { endpoint } from "../http/endpoint.js";
import { agentFor, exchange, trouble } from "../http/exchange.js";
import { type Failure, listed, marked, print, printJson, UsageError } from "../output.js";
import { PROVIDERS, providersFor, senderOf } from "../providers.js";
import { askedSecrets, givenSecrets, type SecretOptions, secretsFor, signingSecretName } from "../secrets.js";
import { pace, progress, Tally } from "../tally.js";
import { printAnswer } from "./answers.js";
import { fieldsIn } from "./fields.js";
import { Explanations } from "./refusals.js";

export interface SendOptions extends SecretOptions {
  readonly to: string;
  readonly provider?: string;
  readonly count: number;
  readonly rate?: number;
  readonly batch: number;
  readonly concurrency: number;
  readonly data?: string;
  readonly tamper?: "signature" | "body" | "time";
  readonly duplicate?: boolean;
  readonly timeout: number;
  readonly json?: boolean;
}

/** An event type of a provider. */
interface Kind {
  readonly sender: Sender;
  readonly type: string;
}

/** Up to this many answers are shown one by one. */
const SHOWN_MAX = 40;
const HOUR_MS = 60 * 60 * 1000;

/** Resolves with whether every answer was as expected: 2xx, or 401 with `--tamper`. */
export async function send(type: string, options: SendOptions): Promise<boolean> {
  const { tamper, duplicate, batch, count, json } = options;
  const to = endpoint(options.to, "--to");
  const { kinds, leftOut } = ableTo(kindsOf(type, options.provider), options);
  if (batch > 1) checkBatch(kinds);
  if (leftOut.length > 0 && !json) print(`Left out: ${leftOut.join("; ")}.`);
  const fields = options.data === undefined ? {} : await fieldsIn(options.data);
  const secrets = new Map<Provider, string>();
  for (const { provider } of new Set(kinds.map(({ sender }) => sender))) {
    const [secret] = await askedSecrets(provider, secretsFor(provider, options));
    secrets.set(provider, secret);
  }
  const compose = (kind: Kind) =>
    composeDelivery(kind, secrets.get(kind.sender.provider) ?? "", fields, options);

  const total = count * kinds.length * (duplicate ? 2 : 1);
  const tally = new Tally((status) => (tamper ? status === 401 : status >= 200 && status < 300));
  const isShown = total <= SHOWN_MAX && !json;
  const bar = isShown || json ? undefined : await progress(total);
  const agent = agentFor(to("/"), options.concurrency);
  const explanations = new Explanations();
  const failure = await sendAll({ kinds, compose, to, tally, explanations, isShown, agent, bar }, options);
  bar?.stop();
  agent.destroy();
  const hint = explanations.all.join(" ");
  if (json) printJson({ to: options.to, ...tally.toJSON(), ...(hint && { hint }) });
  if (failure) throw failure;
  if (!json) {
    if (isShown) print();
    const spoilt = tamper === "time" ? "a time an hour ago" : `a spoilt ${tamper}`;
    tally.print({ areShown: isShown, expectation: tamper && `${spoilt}: 401 is expected` });
    for (const explanation of explanations.all) print(explanation);
  }
  return tally.isAsExpected;
}

/**
 * Returns the types that can be sent as the options say. Of several providers, those are left out that have
 * no secret, and those that sign no time if the time is to be spoilt.
 */
function ableTo(
  kinds: readonly Kind[],
  options: SendOptions,
): { readonly kinds: readonly Kind[]; readonly leftOut: readonly string[] } {
  const providers = new Set(kinds.map(({ sender }) => sender.provider));
  const reasons = new Map<Provider, string>();
  for (const provider of providers) {
    const hasSecret = givenSecrets(provider, options).length > 0;
    if (!hasSecret) reasons.set(provider, `${provider.title} (${provider.secretVariable} is not set)`);
    else if (options.tamper === "time" && provider.signatureFormat.timestamp === undefined)
      reasons.set(provider, `${provider.title} (it signs no time)`);
  }
  // A single provider, or several without a secret: the secret is asked for.
  if (reasons.size === providers.size) return { kinds, leftOut: [] };
  return {
    kinds: kinds.filter(({ sender }) => !reasons.has(sender.provider)),
    leftOut: [...reasons.values()],
  };
}

function checkBatch(kinds: readonly Kind[]): void {
  if (kinds.some(({ sender }) => sender.provider.eventsPerDelivery === "many")) return;
  const many = PROVIDERS.filter(({ eventsPerDelivery }) => eventsPerDelivery === "many");
  const titlesOf = (providers: readonly Provider[]) =>
    listed([...new Set(providers.map(({ title }) => title))], "and");
  throw new UsageError(
    `--batch is for ${titlesOf(many)}. A delivery of ${titlesOf(kinds.map(({ sender }) => sender.provider))} carries one event.`,
  );
}

function composeDelivery(
  { sender, type }: Kind,
  secret: string,
  fields: Readonly<Record<string, unknown>>,
  { tamper, batch }: SendOptions,
): SignedDelivery {
  const length = sender.provider.eventsPerDelivery === "many" ? batch : 1;
  const delivery = signDelivery(sender, {
    // Another secret makes a signature that can be read but does not fit.
    secret: tamper === "signature" ? randomUUID() : secret,
    timestamp: Date.now() - (tamper === "time" ? HOUR_MS : 0),
    events: Array.from({ length }, () => sender.sample(type, fields)),
  });
  return tamper === "body"
    ? { ...delivery, body: delivery.body.replace("{", '{"tampered":true,') }
    : delivery;
}

interface Run {
  readonly kinds: readonly Kind[];
  readonly compose: (kind: Kind) => SignedDelivery;
  readonly to: (path: string) => URL;
  readonly tally: Tally;
  readonly explanations: Explanations;
  readonly isShown: boolean;
  readonly agent: http.Agent;
  readonly bar: { increment(): void } | undefined;
}

/** Sends all deliveries. Stops and returns why if the endpoint has not answered at all. */
async function sendAll(run: Run, options: SendOptions): Promise<Failure | undefined> {
  const { kinds, compose, to, tally, explanations, isShown, agent, bar } = run;
  const { count, concurrency, duplicate, timeout, rate } = options;
  const deliveries = count * kinds.length;
  const turn = pace(rate);
  let failure: Failure | undefined;
  let next = 0;

  const work = async () => {
    while (next < deliveries && failure === undefined) {
      const kind = kinds[next++ % kinds.length] as Kind;
      const { method, headers, body } = compose(kind);
      const { provider } = kind.sender;
      const url = to(provider.defaultPath);
      const outgoing = { method, url, headers: Object.entries(headers), body: Buffer.from(body) };
      for (const copy of duplicate ? ["", " again"] : [""]) {
        await turn();
        const name = (kind.type + copy).padEnd(35);
        try {
          const answer = await exchange(outgoing, { agent, timeout });
          const isExpected = tally.answered(answer);
          if (isShown) printAnswer(name, answer, isExpected);
          if (!isExpected)
            explanations.add({ url, answer, provider, secret: signingSecretName(provider, options) });
        } catch (error) {
          const why = trouble(error, url);
          if (tally.isEmpty) failure ??= why;
          tally.failed(why.message);
          if (isShown && !failure) print(marked(false, `${name}  ${why.message}`));
        }
        bar?.increment();
        if (failure) return;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, deliveries) }, work));
  return failure;
}

/** @throws UsageError if no provider, or not the one of `--provider`, has the type. */
function kindsOf(type: string, provider: string | undefined): readonly Kind[] {
  const all = providersFor(provider)
    .map(senderOf)
    .flatMap((sender) => sender.provider.eventTypes.map((type) => ({ sender, type })));
  const kinds = type === "all" ? all : all.filter((kind) => kind.type === type);
  if (kinds.length > 0) return kinds;
  const types = all.map(({ type }) => type);
  const owner = PROVIDERS.find(({ eventTypes }) => eventTypes.includes(type));
  const fix = owner
    ? ` It is one of ${owner.title}: leave --provider out.`
    : suggestion(type, types) || ` There are ${types.join(", ")}, and all for one of each.`;
  const [only] = providersFor(provider);
  const whose = provider === undefined ? "" : ` of ${only?.title}`;
  throw new UsageError(`There is no event type ${JSON.stringify(type)}${whose}.${fix}`);
}

import { randomUUID } from "node:crypto";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { agentFor, endpoint, exchange, trouble } from "./exchange.js";
import { type Failure, marked, print, printJson, UsageError } from "./output.js";
import {
  askedSecrets,
  nearest,
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  type SecretOptions,
  secretsFor,
} from "./providers.js";
import { readBytes } from "./stored.js";
import { answerOf, pace, progress, Tally } from "./tally.js";

export interface SendOptions extends SecretOptions {
  readonly to: string;
  readonly provider?: ProviderName;
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

interface Kind {
  readonly provider: ProviderName;
  readonly type: string;
}

/** Above this, answers are counted rather than shown one by one. */
const SHOWN_MAX = 40;
const HOUR_MS = 60 * 60 * 1000;

/** Resolves with whether every answer was as expected: 2xx, or 401 to what was tampered with. */
export async function send(type: string, options: SendOptions): Promise<boolean> {
  const { tamper, duplicate, batch, count, json } = options;
  const to = endpoint(options.to, "--to");
  const kinds = kindsOf(type, options.provider);
  if (batch > 1 && !kinds.some(({ provider }) => provider === "toloka")) {
    throw new UsageError("--batch is for Toloka: Prolific sends one event a delivery.");
  }
  const fields = options.data === undefined ? {} : await fieldsIn(options.data);
  const secrets: { [Name in ProviderName]?: string } = {};
  for (const { provider } of kinds) {
    secrets[provider] ??= (await askedSecrets(provider, secretsFor(provider, options)))[0];
  }
  const make = ({ provider, type }: Kind): SignedDelivery => {
    const signing = {
      // With another secret: a signature that can be read, and does not fit.
      secret: tamper === "signature" ? randomUUID() : (secrets[provider] ?? ""),
      timestamp: Date.now() - (tamper === "time" ? HOUR_MS : 0),
    };
    const delivery =
      provider === "toloka"
        ? signToloka({
            ...signing,
            events: Array.from({ length: batch }, () => tolokaEvent(type as "TEST_EVENT", fields)),
          })
        : signProlific({ ...signing, event: prolificEvent(type as "study.status.change", fields) });
    return tamper === "body"
      ? { ...delivery, body: delivery.body.replace("{", '{"tampered":true,') }
      : delivery;
  };

  const deliveries = count * kinds.length;
  const total = deliveries * (duplicate ? 2 : 1);
  const tally = new Tally((status) => (tamper ? status === 401 : status >= 200 && status < 300));
  const isShown = total <= SHOWN_MAX && !json;
  const bar = isShown || json ? undefined : await progress(total);
  const agent = agentFor(to("/"), options.concurrency);
  const turn = pace(options.rate);
  let failure: Failure | undefined;
  let next = 0;

  const work = async () => {
    while (next < deliveries && failure === undefined) {
      const kind = kinds[next++ % kinds.length] as Kind;
      const { method, headers, body } = make(kind);
      const url = to(PROVIDERS[kind.provider].provider.defaultPath);
      const outgoing = { method, url, headers: Object.entries(headers), body: Buffer.from(body) };
      for (const copy of duplicate ? ["", " again"] : [""]) {
        await turn();
        try {
          const answer = await exchange(outgoing, { agent, timeout: options.timeout });
          const isExpected = tally.answered(answer);
          if (isShown) print(marked(isExpected, `${(kind.type + copy).padEnd(36)} ${answerOf(answer)}`));
        } catch (error) {
          const why = trouble(error, url);
          // Where nothing answers at all, nothing will.
          if (tally.isEmpty) failure ??= why;
          tally.failed(why.message);
          if (isShown && !failure) print(marked(false, `${(kind.type + copy).padEnd(36)} ${why.message}`));
        }
        bar?.increment();
        if (failure) return;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.concurrency, deliveries) }, work));
  bar?.stop();
  agent.destroy();
  if (json) printJson({ to: options.to, ...tally.toJSON() });
  if (failure) throw failure;
  if (!json) {
    if (isShown) print();
    tally.print(
      tamper && `a ${tamper === "time" ? "time an hour ago" : `spoilt ${tamper}`}: 401 is expected`,
    );
  }
  return tally.isAsExpected;
}

function kindsOf(type: string, wanted: ProviderName | undefined): readonly Kind[] {
  const all = PROVIDER_NAMES.filter((name) => wanted === undefined || name === wanted).flatMap((provider) =>
    PROVIDERS[provider].provider.eventTypes.map((type) => ({ provider, type })),
  );
  const kinds = type === "all" ? all : all.filter((kind) => kind.type === type);
  if (kinds.length > 0) return kinds;
  const types = all.map(({ type }) => type);
  const meant = nearest(type, types);
  throw new UsageError(
    `There is no event type ${JSON.stringify(type)}.${meant ? ` Did you mean ${meant}?` : ""} There are:\n${types.map((type) => `  ${type}\n`).join("")}  all`,
  );
}

async function fieldsIn(file: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse((await readBytes(file)).toString());
  } catch (error) {
    if (error instanceof UsageError) throw error;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new UsageError("--data must be a JSON object: the fields of an event.");
}

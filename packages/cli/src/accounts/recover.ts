import type { EventRecord, Outcome, RecoveredEnvelope, Recovery } from "@crowdhook/core";
import { RECOVERABLE_MS } from "@crowdhook/core/internal";
import { signDelivery } from "@crowdhook/core/testing";
import type { RecoveryProgress, RecoveryResult } from "@crowdhook/subscriptions";
import { parseReply } from "../http/answer.js";
import { endpoint } from "../http/endpoint.js";
import { agentFor, exchange, trouble } from "../http/exchange.js";
import { Failure, print, printError, printJson } from "../output.js";
import { senderOf } from "../providers.js";
import { askedSecrets, type SecretOptions, secretsFor } from "../secrets.js";
import { hasProgressBar, progress } from "../tally.js";
import type { Account, AccountOpener, AccountOptions } from "./account.js";

export interface RecoverOptions extends AccountOptions, SecretOptions {
  readonly url: string;
  readonly subscribedUrl?: string;
  readonly since?: Date;
  readonly dryRun?: boolean;
  readonly timeout: number;
}

/** Without a terminal, progress is a line for so many events. */
const LINE_EVERY = 100;

/** Sends an account's lost events to the app. Resolves with whether the app took all of them. */
export async function recoverInto(
  account: Account,
  opener: AccountOpener,
  options: RecoverOptions,
): Promise<boolean> {
  const { url, since, dryRun = false, json, timeout } = options;
  const to = endpoint(url, "--url")(opener.provider.defaultPath);
  const isOurs = await subscriptionsAt(account, opener, options.subscribedUrl ?? to.href);
  const [secret] = dryRun ? [""] : await askedSecrets(opener.provider, secretsFor(opener.provider, options));
  const agent = agentFor(to, 1);
  const receiver = {
    provider: opener.provider,
    recovery: receiverAt(to, { opener, secret, agent, timeout }),
  };
  const how = { since, scope: isOurs };
  const bar =
    hasProgressBar() && !json && !dryRun
      ? await progress(await countOf(() => account.recover(receiver, { ...how, dryRun: true })))
      : undefined;
  let shown = 0;
  const onProgress = ({ dispatched }: RecoveryProgress) => {
    if (bar) bar.update(dispatched);
    else if (!dryRun && !json && dispatched - shown >= LINE_EVERY) {
      shown = dispatched;
      printError(`${dispatched} events sent`);
    }
  };
  try {
    const result = await account.recover(receiver, { ...how, dryRun, onProgress });
    bar?.stop();
    if (json) printJson(result);
    else for (const line of `${result}`.split("\n")) print(line);
    return result.failed + result.busy === 0;
  } finally {
    bar?.stop();
    agent.destroy();
  }
}

/** Counts the events for the progress bar, which needs their number first. */
async function countOf(dryRun: () => Promise<Pick<RecoveryResult, "found">>): Promise<number> {
  printError("Counting the events that never arrived …");
  return (await dryRun()).found;
}

/** @throws Failure if no subscription delivers to the URL. */
async function subscriptionsAt(account: Account, { provider, urlOf }: AccountOpener, url: string) {
  const isOurs = (subscription: Parameters<typeof urlOf>[0]) =>
    normalized(urlOf(subscription)) === normalized(url);
  for await (const subscription of account.list()) if (isOurs(subscription)) return isOurs;
  throw new Failure(
    `No subscription at ${provider.title} delivers to ${url}. Pass --subscribed-url with the URL of the subscriptions.`,
  );
}

function normalized(url: unknown): string {
  return URL.canParse(String(url)) ? new URL(String(url)).href : String(url);
}

interface Sending extends Pick<RecoverOptions, "timeout"> {
  readonly opener: AccountOpener;
  readonly secret: string;
  readonly agent: ReturnType<typeof agentFor>;
}

/** Returns a recovery whose receiver is behind a URL. That receiver alone knows what it has handled. */
function receiverAt(url: URL, { opener: { provider }, secret, agent, timeout }: Sending): Recovery {
  async function send({ body, headers = new Map() }: RecoveredEnvelope): Promise<readonly EventRecord[]> {
    const events = provider.parseEvents(body, headers, Date.now()) ?? [];
    const signed = signDelivery(senderOf(provider), {
      secret,
      events: events.map(({ id, data }) => ({ id, content: data as Record<string, unknown> })),
    });
    const lines = Object.entries(signed.headers).map(
      ([name, value]) => [name, headers.get(name) ?? value] as const,
    );
    const outgoing = { method: signed.method, url, headers: lines, body: Buffer.from(signed.body) };
    const answer = await exchange(outgoing, { agent, timeout }).catch((error) => {
      throw trouble(error, url);
    });
    const { code, outcomes } = parseReply(answer);
    const isAccepted = answer.status >= 200 && answer.status < 300;
    const counted = Object.entries(outcomes).flatMap(([outcome, count]) =>
      Array<Outcome>(count).fill(outcome as Outcome),
    );
    if (!isAccepted && counted.length === 0) {
      throw new Failure(
        `${url.host} answered ${[answer.status, code].filter(Boolean).join(" ")}. The rest was not sent.`,
      );
    }
    // Another server's reply has no counts.
    return events.map(({ id, type }, index) => ({
      id,
      type,
      outcome: counted[index] ?? (isAccepted ? "handled" : "failed"),
    }));
  }

  return {
    reach: RECOVERABLE_MS,
    clock: Date.now,
    async dispatch(envelopes) {
      const records: EventRecord[] = [];
      for (const envelope of envelopes) records.push(...(await send(envelope)));
      return records;
    },
    isHandled: async () => false,
    recoverableSince: async () => undefined,
    checkpoint: async () => undefined,
    saveCheckpoint: async () => {},
    exclusively: (work) => work(new AbortController().signal),
  };
}

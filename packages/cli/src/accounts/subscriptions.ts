import { suggestion } from "@crowdhook/core/internal";
import { Option } from "commander";
import { isPrivateUrl } from "../http/private-host.js";
import { Failure, listed, marked, print, printError, printJson, UsageError } from "../output.js";
import { asked } from "../prompt.js";
import { senderOf } from "../providers.js";
import type { Account, AccountOpener, AccountOptions, Subscription, TargetOptions } from "./account.js";
import { ACCOUNTS } from "./accounts.js";
import { type RecoverOptions, recoverInto } from "./recover.js";

export interface SyncOptions extends TargetOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly deleteExtra?: boolean;
}

export interface DeleteOptions extends AccountOptions {
  readonly yes?: boolean;
}

export async function list(options: AccountOptions): Promise<boolean> {
  return withAccount(options, [], async (account, opener) => {
    const found: Subscription[] = [];
    for await (const subscription of account.list()) {
      found.push(subscription);
      if (!options.json) print(lineOf(subscription, opener));
    }
    if (options.json) printJson(found);
    else if (found.length === 0) print("There are no subscriptions.");
    return true;
  });
}

export async function create(options: TargetOptions): Promise<boolean> {
  warnOfPrivateUrl(options);
  return withAccount(options, options.event, async (account, opener) => {
    const { created, errors } = await account.create(typesFor(opener, options), options);
    if (options.json) printJson({ created, errors });
    else {
      for (const subscription of created) print(marked(true, lineOf(subscription, opener)));
      for (const error of errors) print(marked(false, error));
    }
    return errors.length === 0;
  });
}

export async function test(id: string, options: AccountOptions): Promise<boolean> {
  return withAccount(options, [], async (account, { provider: { title } }) => {
    if (!account.test) {
      throw new UsageError(
        `${title} has no test call. crowdhook send sends a signed delivery to the endpoint itself.`,
      );
    }
    const result = await account.test(id);
    const { success, errorType = "no reason given", originalStatusCode } = result;
    if (options.json) printJson(result);
    else if (success) print(marked(true, `${title} sent a test event, and the endpoint accepted it.`));
    else {
      const status = originalStatusCode === undefined ? "" : `, status ${originalStatusCode}`;
      print(marked(false, `${title}'s test delivery failed: ${errorType}${status}.`));
    }
    return success;
  });
}

export async function remove(ids: readonly string[], options: DeleteOptions): Promise<boolean> {
  if (!options.yes && !process.stdin.isTTY) {
    throw new UsageError("There is no terminal to ask at. Pass --yes.");
  }
  return withAccount(options, [], async (account, { provider: { title } }) => {
    const what = ids.length === 1 ? "this subscription" : `these ${ids.length} subscriptions`;
    if (!options.yes && !(await isAgreedTo(`Delete ${what} at ${title}?`))) {
      if (!options.json) print("Nothing was deleted.");
      else printJson({ deleted: [], missing: [] });
      return false;
    }
    const deleted: string[] = [];
    const missing: string[] = [];
    for (const id of ids) ((await account.delete(id)) ? deleted : missing).push(id);
    if (options.json) printJson({ deleted, missing });
    else {
      for (const id of deleted) print(marked(true, `${id} deleted`));
      for (const id of missing) print(marked(false, `${id}: there is no such subscription`));
    }
    return missing.length === 0;
  });
}

async function isAgreedTo(question: string): Promise<boolean> {
  return /^y(es)?$/i.test((await asked(`${question} (y/N) `)).trim());
}

/** Warns of a URL that only this machine or its network can reach. The provider may still accept it. */
function warnOfPrivateUrl({ url }: TargetOptions): void {
  if (!isPrivateUrl(url)) return;
  printError(
    `warning: --url ${url} is not reachable from the internet, so no delivery will arrive. Pass a public URL, such as that of a tunnel.`,
  );
}

/** Sends the events that never arrived to the app. */
export async function recover(options: RecoverOptions): Promise<boolean> {
  return withAccount(options, [], (account, opener) => recoverInto(account, opener, options));
}

/** Shows the plan, asks, and carries it out. */
export async function sync(options: SyncOptions): Promise<boolean> {
  const { yes, dryRun, deleteExtra = false, json } = options;
  if (!yes && !dryRun && !process.stdin.isTTY) {
    throw new UsageError("There is no terminal to ask at. Pass --yes, or --dry-run to see the plan.");
  }
  warnOfPrivateUrl(options);
  return withAccount(options, options.event, async (account, opener) => {
    const { changesExisting, run } = await account.sync(typesFor(opener, options), options);
    const plan = await run({ deleteExtra, dryRun: true });
    const isDone = plan.create.length === 0 && !(deleteExtra && plan.extra.length > 0) && !changesExisting;
    // Without --dry-run the plan is not the end.
    const shown = dryRun ? `${plan}` : `${plan}`.replace("; dry run, nothing changed", "");
    if (!json) for (const line of shown.split("\n")) print(line);
    const mayChange = !dryRun && !isDone;
    const isAgreed = mayChange && (yes || (await isAgreedTo("Carry this out?")));
    const result = isAgreed ? await run({ deleteExtra, dryRun: false }) : plan;
    if (json) {
      const { create, keep, extra } = result;
      printJson({ changed: isAgreed, create, keep, extra });
    } else if (isAgreed) print(marked(true, "Done."));
    else if (mayChange) print("Nothing was changed.");
    return !mayChange || isAgreed;
  });
}

/** Returns the types that can be subscribed to. */
function knownTypes({ provider }: AccountOpener): readonly string[] {
  const { testTypes } = senderOf(provider);
  return provider.eventTypes.filter((type) => !testTypes.includes(type));
}

function typesFor(opener: AccountOpener, { event, provider }: TargetOptions): readonly string[] {
  const known = knownTypes(opener);
  if (event.includes("all")) return known;
  // A type that this release does not know could be a typing mistake, so it takes an explicit --provider.
  const unknown = provider ? undefined : event.find((type) => !known.includes(type));
  if (unknown === undefined) return event;
  throw new UsageError(
    `${opener.provider.title} has no event type ${JSON.stringify(unknown)}.${suggestion(unknown, known)} For a new type, pass --provider.`,
  );
}

/** Runs a command with its account. Turns the errors of the account into messages. */
async function withAccount<T>(
  options: AccountOptions,
  events: readonly string[],
  run: (account: Account, opener: AccountOpener) => Promise<T>,
): Promise<T> {
  const { SubscriptionError } = await import("@crowdhook/subscriptions");
  const opener = openerFor(options, events);
  checkFlags(opener, options);
  try {
    return await run(await opener.open(options), opener);
  } catch (error) {
    if (error instanceof SubscriptionError) throw new Failure(error.message);
    // The package throws it for arguments that cannot work.
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

/** Finds the account by `--provider`, else by the event types, else by the key that is set. */
function openerFor({ provider }: AccountOptions, events: readonly string[]): AccountOpener {
  const named = ACCOUNTS.filter((opener) => opener.provider.name === provider);
  const byEvent = ACCOUNTS.filter((opener) => events.some((type) => knownTypes(opener).includes(type)));
  const byKey = ACCOUNTS.filter((opener) => opener.hasKey());
  const [opener, another] = provider ? named : byEvent.length > 0 ? byEvent : byKey;
  if (opener === undefined || another !== undefined) {
    throw new UsageError("Whose subscriptions? Pass --provider.");
  }
  return opener;
}

/** @throws UsageError for an option that only other providers have. */
function checkFlags(opener: AccountOpener, options: object): void {
  for (const { flags } of ACCOUNTS.flatMap((other) => other.flags)) {
    const option = new Option(flags);
    const isGiven = Object.hasOwn(options, option.attributeName());
    if (!isGiven || opener.flags.some((own) => own.flags === flags)) continue;
    const owners = ACCOUNTS.filter((other) => other.flags.some((own) => own.flags === flags));
    const titles = owners.map(({ provider }) => provider.title);
    throw new UsageError(`${option.long} is for ${listed(titles, "and")}.`);
  }
}

function lineOf(subscription: Subscription, { describe }: AccountOpener): string {
  const { id, event_type } = subscription;
  return [id, event_type, ...describe(subscription)].filter(Boolean).join("  ");
}

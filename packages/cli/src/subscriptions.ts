import type { ProlificSubscriptions, SyncPlan, TolokaSubscriptions } from "@crowdhook/subscriptions";
import { Failure, marked, plain, print, printJson, UsageError } from "./output.js";
import { asked, hidden } from "./prompt.js";
import {
  askedSecrets,
  nearest,
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  type SecretOptions,
  secretsFor,
} from "./providers.js";

interface AccountOptions {
  readonly provider?: ProviderName;
  readonly sandbox?: boolean;
  readonly baseUrl?: string;
  readonly json?: boolean;
}

interface TargetOptions extends AccountOptions, SecretOptions {
  readonly url: string;
  readonly event: readonly string[];
  readonly pool?: readonly string[];
  readonly unsigned?: boolean;
}

export interface SyncOptions extends TargetOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly deleteExtra?: boolean;
  readonly resend?: boolean;
}

type Account =
  | { readonly name: "toloka"; readonly subscriptions: TolokaSubscriptions }
  | { readonly name: "prolific"; readonly subscriptions: ProlificSubscriptions };

export async function list(options: AccountOptions): Promise<boolean> {
  return withAccount(options, [], async ({ subscriptions }) => {
    const found: Shown[] = [];
    for await (const subscription of subscriptions.list()) {
      found.push(subscription);
      if (!options.json) print(lineOf(subscription));
    }
    if (options.json) printJson(found);
    else if (found.length === 0) print("There are none.");
    return true;
  });
}

export async function create(options: TargetOptions): Promise<boolean> {
  return withAccount(options, options.event, async (account) => {
    const created: Shown[] = [];
    const errors: string[] = [];
    if (account.name === "toloka") {
      const forms = await tolokaForms(options);
      const result = await account.subscriptions.createMany(forms);
      created.push(...result.created.filter((subscription) => subscription !== undefined));
      for (const [index, fields] of result.errors) {
        const why = Object.entries(fields).map(
          ([field, { code, message }]) => `${field}: ${message ?? code}`,
        );
        errors.push(`${forms[index]?.event_type}, pool ${forms[index]?.pool_id}: ${why.join("; ")}`);
      }
    } else {
      for (const form of prolificForms(options)) created.push(await account.subscriptions.subscribe(form));
    }
    if (options.json) printJson({ created, errors });
    else {
      for (const subscription of created) print(marked(true, lineOf(subscription)));
      for (const error of errors) print(marked(false, plain(error)));
    }
    return errors.length === 0;
  });
}

export async function test(id: string, options: AccountOptions): Promise<boolean> {
  return withAccount(options, [], async (account) => {
    if (account.name !== "toloka") {
      throw new UsageError(
        "Prolific has no test call. crowdhook send sends a signed delivery to the endpoint itself.",
      );
    }
    const result = await account.subscriptions.test(id);
    const { success, errorType = "it does not say why", originalStatusCode } = result;
    if (options.json) printJson(result);
    else if (success) print(marked(true, "Toloka has sent a TEST_EVENT, and its answer was a success."));
    else {
      const status = originalStatusCode === undefined ? "" : `, status ${originalStatusCode}`;
      print(marked(false, `Toloka's test delivery failed: ${plain(errorType)}${status}.`));
    }
    return success;
  });
}

export async function remove(ids: readonly string[], options: AccountOptions): Promise<boolean> {
  return withAccount(options, [], async ({ subscriptions }) => {
    const deleted: string[] = [];
    const missing: string[] = [];
    for (const id of ids) ((await subscriptions.delete(id)) ? deleted : missing).push(id);
    if (options.json) printJson({ deleted, missing });
    else {
      for (const id of deleted) print(marked(true, `${id} deleted`));
      for (const id of missing) print(marked(false, `${id}: there is no such subscription`));
    }
    return missing.length === 0;
  });
}

/** Shows what there is to do and, once that is agreed to, does it. */
export async function sync(options: SyncOptions): Promise<boolean> {
  const { yes, dryRun, deleteExtra = false, resend = false, json } = options;
  if (!yes && !dryRun && !process.stdin.isTTY) {
    throw new UsageError("There is no terminal to ask at: pass --yes, or --dry-run to see the plan.");
  }
  return withAccount(options, options.event, async (account) => {
    const run = await syncOf(account, options);
    const plan = await run({ deleteExtra, dryRun: true });
    const isDone = plan.create.length === 0 && !(deleteExtra && plan.extra.length > 0) && !resend;
    if (!json) for (const line of `${plan}`.split("\n")) print(plain(line));
    const mayChange = !dryRun && !isDone;
    const isAgreed = mayChange && (yes || /^y(es)?$/i.test((await asked("Do this? (y/N) ")).trim()));
    const result = isAgreed ? await run({ deleteExtra, dryRun: false }) : plan;
    if (json) {
      const { create, keep, extra } = result;
      printJson({ changed: isAgreed, create, keep, extra });
    } else if (isAgreed) print(marked(true, "Done."));
    else if (mayChange) print("Nothing was changed.");
    return !mayChange || isAgreed;
  });
}

/** A sync of either provider, as a function of what it may do. */
async function syncOf(account: Account, options: SyncOptions) {
  type Run = (how: { deleteExtra: boolean; dryRun: boolean }) => Promise<SyncPlan<unknown, unknown>>;
  if (account.name === "toloka") {
    const forms = await tolokaForms(options);
    const { resend = false } = options;
    const run: Run = (how) => account.subscriptions.sync(forms, { ...how, resend });
    return run;
  }
  if (options.resend) throw new UsageError("--resend is for Toloka: Prolific's secret is the workspace's.");
  const run: Run = (how) => account.subscriptions.sync(prolificForms(options), how);
  return run;
}

async function tolokaForms(options: TargetOptions) {
  const { url: webhook_url, pool: pools = [], unsigned } = options;
  if (pools.length === 0) throw new UsageError("Toloka's subscriptions belong to a pool each: pass --pool.");
  // Without a secret, Toloka does not sign: that must be said, not forgotten.
  const [secret_key] = unsigned ? [] : await askedSecrets("toloka", secretsFor("toloka", options));
  return pools.flatMap((pool_id) =>
    typesOf("toloka", options).map((event_type) => ({
      webhook_url,
      event_type,
      pool_id,
      ...(secret_key !== undefined && { secret_key }),
    })),
  );
}

function prolificForms(options: TargetOptions) {
  if (options.pool || options.unsigned) throw new UsageError("--pool and --unsigned are for Toloka.");
  return typesOf("prolific", options).map((event_type) => ({ event_type, target_url: options.url }));
}

/** What can be subscribed to: not the event of the test call. */
function knownTypes(name: ProviderName): readonly string[] {
  return PROVIDERS[name].provider.eventTypes.filter((type) => type !== "TEST_EVENT");
}

function typesOf(name: ProviderName, { event, provider }: TargetOptions): readonly string[] {
  const known = knownTypes(name);
  if (event.includes("all")) return known;
  // A type that is newer than this release is taken only from someone who says whose it is.
  const wrong = provider ? undefined : event.find((type) => !known.includes(type));
  if (wrong === undefined) return event;
  const meant = nearest(wrong, known);
  throw new UsageError(
    `${PROVIDERS[name].title} has no event type ${JSON.stringify(wrong)}.${meant ? ` Did you mean ${meant}?` : ""} For one that is new, pass --provider.`,
  );
}

/** Runs with the account that is meant, and sorts its errors. */
async function withAccount<T>(
  options: AccountOptions,
  events: readonly string[],
  run: (account: Account) => Promise<T>,
): Promise<T> {
  const { SubscriptionError } = await import("@crowdhook/subscriptions");
  try {
    return await run(await accountOf(options, events));
  } catch (error) {
    if (error instanceof SubscriptionError) throw new Failure(error.message);
    // What the package throws for arguments that cannot work.
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

async function accountOf(
  { provider, sandbox, baseUrl }: AccountOptions,
  events: readonly string[],
): Promise<Account> {
  const { createProlificSubscriptions, createTolokaSubscriptions } = await import("@crowdhook/subscriptions");
  const { TOLOKA_API_KEY, TOLOKA_OAUTH_TOKEN, PROLIFIC_TOKEN, PROLIFIC_WORKSPACE_ID } = process.env;
  const byEvent = PROVIDER_NAMES.filter((name) => events.some((type) => knownTypes(name).includes(type)));
  const byKey = PROVIDER_NAMES.filter((name) =>
    name === "toloka" ? TOLOKA_API_KEY || TOLOKA_OAUTH_TOKEN : PROLIFIC_TOKEN,
  );
  const [name, another] = provider ? [provider] : byEvent.length > 0 ? byEvent : byKey;
  if (name === undefined || another !== undefined)
    throw new UsageError("Whose subscriptions? Pass --provider.");
  const address = baseUrl === undefined ? {} : { baseUrl };
  if (name === "prolific") {
    if (sandbox) throw new UsageError("--sandbox is for Toloka.");
    if (!PROLIFIC_WORKSPACE_ID)
      throw new UsageError("Set PROLIFIC_WORKSPACE_ID: subscriptions belong to a workspace.");
    const token = PROLIFIC_TOKEN || (await hidden("Prolific's API token", "PROLIFIC_TOKEN"));
    const account = { token, workspaceId: PROLIFIC_WORKSPACE_ID, ...address };
    return { name, subscriptions: createProlificSubscriptions(account) };
  }
  const key =
    !TOLOKA_API_KEY && TOLOKA_OAUTH_TOKEN
      ? { oauthToken: TOLOKA_OAUTH_TOKEN }
      : { apiKey: TOLOKA_API_KEY || (await hidden("Toloka's API key", "TOLOKA_API_KEY")) };
  return {
    name,
    subscriptions: createTolokaSubscriptions({ ...key, ...address, ...(sandbox && { sandbox }) }),
  };
}

/** What both providers' subscriptions have, or one of them. */
interface Shown {
  readonly id: string;
  readonly event_type: string;
  readonly [field: string]: unknown;
}

function lineOf({ id, event_type, pool_id, webhook_url, target_url, is_enabled }: Shown): string {
  const parts = [
    id,
    event_type,
    pool_id && `pool ${pool_id}`,
    webhook_url ?? target_url,
    is_enabled === false && "disabled",
  ];
  return plain(parts.filter(Boolean).join("  "));
}

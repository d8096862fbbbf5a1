import type { Provider } from "@crowdhook/core";
import { toloka } from "@crowdhook/core/toloka";
import type { TolokaSubscriptionForm } from "@crowdhook/subscriptions";
import { UsageError } from "../output.js";
import { hidden } from "../prompt.js";
import { askedSecrets, secretsFor } from "../secrets.js";
import type { Account, AccountOpener, AccountOptions, TargetOptions } from "./account.js";

interface TolokaAccountOptions extends AccountOptions {
  readonly sandbox?: boolean;
  readonly yandexTasks?: boolean;
}

interface TolokaTargetOptions extends TargetOptions {
  readonly pool?: readonly string[];
  readonly unsigned?: boolean;
  readonly resend?: boolean;
}

const provider = toloka as unknown as Provider;

export const tolokaAccount: AccountOpener = {
  provider,
  variables: "TOLOKA_API_KEY or TOLOKA_OAUTH_TOKEN",
  flags: [
    { of: "account", flags: "--sandbox", description: "use Toloka's sandbox, which is another account" },
    {
      of: "account",
      flags: "--yandex-tasks",
      description: "use Yandex Tasks, which speaks Toloka's protocol (not tried against the real service)",
    },
    { of: "target", flags: "--pool <id>", description: "a pool at Toloka (repeatable)", isRepeatable: true },
    { of: "target", flags: "--unsigned", description: "have Toloka send unsigned deliveries" },
    {
      of: "sync",
      flags: "--resend",
      description: "set the secret of existing subscriptions at Toloka again",
    },
  ],
  example: { create: "--event POOL_CLOSED --pool 123", sync: "--event all --pool 123" },
  targetNote: "Toloka signs with the first secret in TOLOKA_SECRET.",
  describe: ({ pool_id, webhook_url }) => [`pool ${pool_id}`, webhook_url],
  urlOf: ({ webhook_url }) => webhook_url,
  hasKey: () => Boolean(process.env.TOLOKA_API_KEY || process.env.TOLOKA_OAUTH_TOKEN),

  async open({ baseUrl, sandbox, yandexTasks }: TolokaAccountOptions): Promise<Account> {
    const { createTolokaSubscriptions } = await import("@crowdhook/subscriptions");
    const subscriptions = createTolokaSubscriptions({
      ...(await keyOf(yandexTasks)),
      ...(baseUrl !== undefined && { baseUrl }),
      ...(sandbox && { sandbox }),
      ...(yandexTasks && { yandexTasks }),
    });
    return {
      list: () => subscriptions.list(),
      test: (id) => subscriptions.test(id),
      recover: (receiver, options) => subscriptions.recover(receiver, options),
      delete: (id) => subscriptions.delete(id),
      async create(types, options) {
        const forms = await formsFor(types, options);
        const { created, errors } = await subscriptions.createMany(forms);
        const sentences = [...errors].map(([index, fields]) => {
          const reasons = Object.entries(fields).map(
            ([field, { code, message }]) => `${field}: ${message ?? code}`,
          );
          return `${forms[index]?.event_type}, pool ${forms[index]?.pool_id}: ${reasons.join("; ")}`;
        });
        return {
          created: created.filter((subscription) => subscription !== undefined),
          errors: sentences,
        };
      },
      async sync(types, options: TolokaTargetOptions) {
        const forms = await formsFor(types, options);
        const { resend = false } = options;
        return {
          changesExisting: resend,
          run: (how) => subscriptions.sync(forms, { ...how, resend }),
        };
      },
    };
  },
};

async function keyOf(isOAuth = false) {
  const { TOLOKA_API_KEY, TOLOKA_OAUTH_TOKEN } = process.env;
  if (isOAuth) {
    return {
      oauthToken: TOLOKA_OAUTH_TOKEN || (await hidden("Yandex Tasks' OAuth token", "TOLOKA_OAUTH_TOKEN")),
    };
  }
  if (!TOLOKA_API_KEY && TOLOKA_OAUTH_TOKEN) return { oauthToken: TOLOKA_OAUTH_TOKEN };
  return { apiKey: TOLOKA_API_KEY || (await hidden("Toloka's API key", "TOLOKA_API_KEY")) };
}

async function formsFor(
  types: readonly string[],
  options: TolokaTargetOptions,
): Promise<readonly TolokaSubscriptionForm[]> {
  const { url: webhook_url, pool: pools = [], unsigned } = options;
  if (pools.length === 0) throw new UsageError("A subscription at Toloka belongs to a pool: pass --pool.");
  // Without a secret Toloka does not sign, so that takes an explicit --unsigned.
  const [secret_key] = unsigned ? [] : await askedSecrets(provider, secretsFor(provider, options));
  return pools.flatMap((pool_id) =>
    types.map((event_type) => ({
      webhook_url,
      event_type,
      pool_id,
      ...(secret_key !== undefined && { secret_key }),
    })),
  );
}

import type { Provider } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { UsageError } from "../output.js";
import { hidden } from "../prompt.js";
import type { Account, AccountOpener, AccountOptions, Subscription, TargetOptions } from "./account.js";

interface ProlificTargetOptions extends TargetOptions {
  readonly enable?: boolean;
}

export const prolificAccount: AccountOpener = {
  provider: prolific as unknown as Provider,
  variables: "PROLIFIC_TOKEN and PROLIFIC_WORKSPACE_ID",
  flags: [
    { of: "sync", flags: "--enable", description: "enable Prolific's subscriptions that are disabled" },
  ],
  example: { create: "--event study.status.change", sync: "--event all" },
  describe: ({ target_url, is_enabled }) => [target_url, is_enabled === false && "disabled"],
  urlOf: ({ target_url }) => target_url,
  hasKey: () => Boolean(process.env.PROLIFIC_TOKEN),

  async open({ baseUrl }: AccountOptions): Promise<Account> {
    const { createProlificSubscriptions } = await import("@crowdhook/subscriptions");
    const { PROLIFIC_TOKEN, PROLIFIC_WORKSPACE_ID } = process.env;
    if (!PROLIFIC_WORKSPACE_ID)
      throw new UsageError("Set PROLIFIC_WORKSPACE_ID: subscriptions belong to a workspace.");
    const subscriptions = createProlificSubscriptions({
      token: PROLIFIC_TOKEN || (await hidden("Prolific's API token", "PROLIFIC_TOKEN")),
      workspaceId: PROLIFIC_WORKSPACE_ID,
      ...(baseUrl !== undefined && { baseUrl }),
    });
    return {
      list: () => subscriptions.list(),
      recover: (receiver, options) => subscriptions.recover(receiver, options),
      delete: (id) => subscriptions.delete(id),
      async create(types, options) {
        const created: Subscription[] = [];
        for (const form of formsFor(types, options)) created.push(await subscriptions.subscribe(form));
        return { created, errors: [] };
      },
      async sync(types, options: ProlificTargetOptions) {
        const forms = formsFor(types, options);
        const { enable = false } = options;
        return { changesExisting: enable, run: (how) => subscriptions.sync(forms, { ...how, enable }) };
      },
    };
  },
};

function formsFor(types: readonly string[], { url }: TargetOptions) {
  return types.map((event_type) => ({ event_type, target_url: url }));
}

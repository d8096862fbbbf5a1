import { SubscriptionError } from "../errors.js";
import {
  collect,
  firstById,
  type Identity,
  keyOf,
  planSync,
  type SyncOptions,
  type SyncPlan,
} from "../sync.js";
import { checkProlificForms, type ProlificSubscriptionForm } from "./form.js";
import type { ProlificSubscription, ProlificSubscriptions } from "./subscriptions.js";

const IDENTITY: Identity<ProlificSubscriptionForm, ProlificSubscription> = {
  fieldsOf: ({ target_url, event_type }) => [target_url, event_type],
  prefer: (a, b) => (a.is_enabled === b.is_enabled ? firstById(a, b) : a.is_enabled ? a : b),
  note: ({ is_enabled, id }) => (is_enabled ? "" : ` (disabled, call enable("${id}") to get deliveries)`),
};

type Account = Pick<ProlificSubscriptions, "subscribe" | "list" | "delete">;
type Plan = SyncPlan<ProlificSubscriptionForm, ProlificSubscription>;

/** Runs `ProlificSubscriptions.sync` with the other methods of the client. */
export async function syncProlific(
  account: Account,
  desired: readonly ProlificSubscriptionForm[],
  options: SyncOptions<ProlificSubscription>,
): Promise<Plan> {
  checkProlificForms(desired);
  const found = planSync(desired, await collect(account.list()), options, IDENTITY);
  if (options.dryRun) return found;
  const plan =
    found.create.length === 0 ? found : await createMissing(account, desired, found.create, options);
  if (options.deleteExtra) for (const { id } of plan.extra) await account.delete(id);
  return plan;
}

/** Creates the missing subscriptions, then lists again to find those that another process created. */
async function createMissing(
  account: Account,
  desired: readonly ProlificSubscriptionForm[],
  missing: readonly ProlificSubscriptionForm[],
  options: SyncOptions<ProlificSubscription>,
): Promise<Plan> {
  const ids = new Set<string>();
  const failures = new Map<string, SubscriptionError>();
  for (const form of missing) {
    try {
      ids.add((await account.subscribe(form)).id);
    } catch (error) {
      // 404: another process with `deleteExtra` may have deleted the new subscription as a duplicate.
      if (!(error instanceof SubscriptionError && error.status === 404)) throw error;
      failures.set(keyOf(IDENTITY.fieldsOf(form)), error);
    }
  }
  const present = await collect(account.list());
  const plan = planSync(desired, present, options, IDENTITY, { forms: missing, ids });
  for (const kept of plan.keep) failures.delete(keyOf(IDENTITY.fieldsOf(kept)));
  for (const error of failures.values()) throw error;
  return plan;
}

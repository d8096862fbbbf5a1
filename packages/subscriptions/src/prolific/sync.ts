import { SubscriptionError } from "../errors.js";
import { collect, firstById, type Identity, keyOf, planSync, type SyncPlan } from "../sync.js";
import { checkProlificForms, type ProlificSubscriptionForm } from "./form.js";
import type { ProlificSubscription, ProlificSubscriptions, ProlificSyncOptions } from "./subscriptions.js";

function identity(enable: boolean): Identity<ProlificSubscriptionForm, ProlificSubscription> {
  return {
    fieldsOf: ({ target_url, event_type }) => [target_url, event_type],
    prefer: (a, b) => (a.is_enabled === b.is_enabled ? firstById(a, b) : a.is_enabled ? a : b),
    note: ({ is_enabled, id }) =>
      is_enabled
        ? ""
        : enable
          ? " (disabled, to enable)"
          : ` (disabled, call enable("${id}") to get deliveries)`,
  };
}

const IDENTITY = identity(false);

type Account = Pick<ProlificSubscriptions, "subscribe" | "list" | "delete" | "enable" | "events">;
type Plan = SyncPlan<ProlificSubscriptionForm, ProlificSubscription>;

/** Runs `ProlificSubscriptions.sync` with the other methods of the client. */
export async function syncProlific(
  account: Account,
  desired: readonly ProlificSubscriptionForm[],
  options: ProlificSyncOptions,
): Promise<Plan> {
  checkProlificForms(desired);
  const { dryRun, deleteExtra, enable = false } = options;
  const present = await collect(account.list());
  const dead = await findDead(account, desired, planSync(desired, present, options, IDENTITY).keep);
  const found = planSync(desired, present, options, identity(enable), { dead });
  if (dryRun) return found;
  for (const { id } of dead) await account.delete(id);
  const plan =
    found.create.length === 0 ? found : await createMissing(account, desired, found.create, options);
  if (enable) for (const { id, is_enabled } of plan.keep) if (!is_enabled) await account.enable(id);
  if (deleteExtra) for (const { id } of plan.extra) await account.delete(id);
  return plan;
}

/**
 * Finds the subscriptions that were probably never confirmed: they are disabled, nobody asked for that, and
 * they never had an event.
 */
async function findDead(
  { events }: Account,
  desired: readonly ProlificSubscriptionForm[],
  kept: readonly ProlificSubscription[],
): Promise<readonly ProlificSubscription[]> {
  const disabled = desired.filter(({ is_enabled }) => is_enabled === false);
  const asked = new Set(disabled.map((form) => keyOf(IDENTITY.fieldsOf(form))));
  const dead: ProlificSubscription[] = [];
  for (const subscription of kept) {
    if (subscription.is_enabled || asked.has(keyOf(IDENTITY.fieldsOf(subscription)))) continue;
    const first = await events(subscription.id)[Symbol.asyncIterator]().next();
    if (first.done) dead.push(subscription);
  }
  return dead;
}

/** Creates the missing subscriptions, then lists again to find those that another process created. */
async function createMissing(
  account: Account,
  desired: readonly ProlificSubscriptionForm[],
  missing: readonly ProlificSubscriptionForm[],
  options: ProlificSyncOptions,
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
  const plan = planSync(desired, present, options, identity(options.enable ?? false), {
    created: { forms: missing, ids },
  });
  for (const kept of plan.keep) failures.delete(keyOf(IDENTITY.fieldsOf(kept)));
  for (const error of failures.values()) throw error;
  return plan;
}

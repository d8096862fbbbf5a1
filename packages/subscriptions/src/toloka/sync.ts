import { SubscriptionError } from "../errors.js";
import { collect, firstById, type Identity, keyOf, planSync, type SyncPlan } from "../sync.js";
import { checkTolokaForms, type TolokaSubscriptionForm } from "./form.js";
import type {
  TolokaFieldErrors,
  TolokaSubscription,
  TolokaSubscriptions,
  TolokaSyncOptions,
} from "./subscriptions.js";

const IDENTITY: Identity<TolokaSubscriptionForm, TolokaSubscription> = {
  fieldsOf: ({ webhook_url, event_type, pool_id }) => [webhook_url, event_type, `pool ${pool_id}`],
  prefer: firstById,
};

const keyOfForm = (form: TolokaSubscriptionForm) => keyOf(IDENTITY.fieldsOf(form));

/** Runs `TolokaSubscriptions.sync` with the other methods of the client. */
export async function syncToloka(
  account: Pick<TolokaSubscriptions, "createMany" | "list" | "delete">,
  desired: readonly TolokaSubscriptionForm[],
  options: TolokaSyncOptions,
): Promise<SyncPlan<TolokaSubscriptionForm, TolokaSubscription>> {
  checkTolokaForms(desired);
  const forms = withoutDuplicates(desired);
  const formsWithoutSecret = forms.map(({ secret_key: _, ...form }) => form);
  const plan = planSync(formsWithoutSecret, await collect(account.list()), options, IDENTITY);
  if (options.dryRun) return plan;
  const missing = new Set(plan.create.map(keyOfForm));
  const sent = forms.filter((form) => options.resend || missing.has(keyOfForm(form)));
  const { errors } = await account.createMany(sent);
  if (errors.size > 0) throw refusal(sent, errors);
  if (options.deleteExtra) for (const { id } of plan.extra) await account.delete(id);
  return plan;
}

/** @throws TypeError if two forms for the same subscription have different secrets. */
function withoutDuplicates(forms: readonly TolokaSubscriptionForm[]): TolokaSubscriptionForm[] {
  const byKey = new Map<string, TolokaSubscriptionForm>();
  for (const form of forms) {
    const key = keyOfForm(form);
    const other = byKey.get(key);
    if (other && other.secret_key !== form.secret_key) {
      throw new TypeError(
        `${IDENTITY.fieldsOf(form).join(" ")} is desired twice with different secrets. Pass one secret for it.`,
      );
    }
    byKey.set(key, other ?? form);
  }
  return [...byKey.values()];
}

function refusal(
  forms: readonly TolokaSubscriptionForm[],
  errors: ReadonlyMap<number, TolokaFieldErrors>,
): SubscriptionError {
  const reasons = [...errors].slice(0, 3).map(([index, fields]) => {
    const { event_type, pool_id } = forms[index] as TolokaSubscriptionForm;
    const codes = Object.entries(fields).map(([field, { code }]) => `${field} ${code ?? "is refused"}`);
    return `${event_type} in pool ${pool_id}: ${codes.join(", ")}`;
  });
  const [first = {}] = errors.values();
  return new SubscriptionError(
    `Toloka refused ${errors.size} of ${forms.length} subscriptions: ${reasons.join("; ")}${errors.size > 3 ? "; …" : ""}. The others exist.`,
    {
      provider: "toloka",
      status: 200,
      code: Object.values(first)[0]?.code,
      payload: Object.fromEntries(errors),
    },
  );
}

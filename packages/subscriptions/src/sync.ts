import { escapeControls } from "@crowdhook/core/internal";

/** The fields that the subscriptions of all providers have. */
interface Subscription {
  readonly id: string;
  readonly event_type: string;
  readonly [field: string]: unknown;
}

/** What `sync` may change, and which subscriptions it takes for those of this app. */
export interface SyncOptions<S extends Subscription = Subscription> {
  /** Deletes the extra subscriptions. Default false: the plan only lists them. */
  readonly deleteExtra?: boolean | undefined;
  /** Makes the plan and changes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * Returns whether a subscription belongs to this app. A subscription of another app is never extra.
   * Default: the subscription's URL is one of the desired URLs. After a change of the URL, pass a function
   * that also accepts the old one.
   */
  readonly scope?: ((subscription: S) => boolean) | undefined;
}

/** The changes that a sync makes, or made. `String(plan)` is readable text. It contains no secrets. */
export interface SyncPlan<Form, Subscription> {
  /** The desired subscriptions that were missing, without their `secret_key`. */
  readonly create: readonly Form[];
  /** The existing subscriptions that are desired. */
  readonly keep: readonly Subscription[];
  /** The subscriptions in scope that are not desired, and duplicates. Deleted only with `deleteExtra`. */
  readonly extra: readonly Subscription[];
  toString(): string;
}

/** Compares the forms and the subscriptions of one provider. */
export interface Identity<Form, S> {
  /** Returns the values that two subscriptions share if they are the same. The plan prints them. */
  readonly fieldsOf: (item: Form | S) => readonly [url: string, ...fields: string[]];
  /** Returns the one of two duplicates to keep. All processes must choose the same one. */
  readonly prefer: (a: S, b: S) => S;
  /** Returns a remark for the plan's line about a kept subscription. */
  readonly note?: (kept: S) => string;
}

/** Providers may change the spelling of a URL, such as the case of the host. */
export function normalizeUrl(url: string): string {
  return URL.canParse(url) ? new URL(url).href : url;
}

/** Returns a key that is equal for fields of the same identity. */
export function keyOf([url, ...fields]: readonly [string, ...string[]]): string {
  return JSON.stringify([normalizeUrl(url), ...fields]);
}

interface Known<Form, S> {
  /** The forms that this sync has created. The plan keeps listing them under `create`, and not under `keep`. */
  readonly created?: { readonly forms: readonly Form[]; readonly ids: ReadonlySet<string> };
  /** Subscriptions that deliver nothing. The plan creates them again. They must be deleted. */
  readonly dead?: readonly S[];
}

/** Compares the desired with the present subscriptions. */
export function planSync<Form, S extends Subscription>(
  desired: readonly Form[],
  present: readonly S[],
  options: SyncOptions<S>,
  { fieldsOf, prefer, note = () => "" }: Identity<Form, S>,
  { created, dead = [] }: Known<Form, S> = {},
): SyncPlan<Form, S> {
  const urls = new Set(desired.map((form) => normalizeUrl(fieldsOf(form)[0])));
  const { scope = (subscription: S) => urls.has(normalizeUrl(fieldsOf(subscription)[0])) } = options;
  const formByKey = new Map(desired.map((form) => [keyOf(fieldsOf(form)), form]));
  const keptByKey = new Map<string, S>();
  const alive = present.filter(({ id }) => !dead.some((each) => each.id === id));
  for (const subscription of alive) {
    const key = keyOf(fieldsOf(subscription));
    if (!formByKey.has(key)) continue;
    const other = keptByKey.get(key);
    keptByKey.set(key, other === undefined ? subscription : prefer(other, subscription));
  }
  const kept = [...formByKey.keys()].flatMap((key) => keptByKey.get(key) ?? []);
  const keptSet = new Set(kept);
  return new Plan(
    created?.forms ?? [...formByKey].filter(([key]) => !keptByKey.has(key)).map(([, form]) => form),
    kept.filter(({ id }) => !created?.ids.has(id)),
    alive.filter((subscription) => !keptSet.has(subscription) && scope(subscription)),
    (item) => escapeControls(fieldsOf(item).join(" ")),
    note,
    (form) => {
      const key = keyOf(fieldsOf(form));
      const ids = dead.filter((each) => keyOf(fieldsOf(each)) === key).map(({ id }) => id);
      return ids.length === 0
        ? ""
        : escapeControls(` (replaces ${ids.join(", ")}, which was never confirmed)`);
    },
    options,
  );
}

/** A class with a private field, so that `console.log` of a plan shows its three lists and nothing else. */
class Plan<Form, S> implements SyncPlan<Form, S> {
  readonly #format: () => string;

  constructor(
    readonly create: readonly Form[],
    readonly keep: readonly S[],
    readonly extra: readonly S[],
    describe: (item: Form | S) => string,
    note: (kept: S) => string,
    createNote: (form: Form) => string,
    { dryRun = false, deleteExtra = false }: Pick<SyncOptions, "dryRun" | "deleteExtra">,
  ) {
    const fate = deleteExtra ? "to delete" : "extra (not deleted)";
    this.#format = () =>
      [
        `${create.length} to create, ${keep.length} to keep, ${extra.length} ${fate}${dryRun ? "; dry run, nothing changed" : ""}`,
        ...create.map((form) => `+ ${describe(form)}${createNote(form)}`),
        ...keep.map((kept) => `= ${describe(kept)}${note(kept)}`),
        ...extra.map((each) => `${deleteExtra ? "-" : "?"} ${describe(each)}`),
      ].join("\n");
  }

  toString(): string {
    return this.#format();
  }
}

/** Returns all items of an asynchronous list. */
export async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}

/** Returns the item whose id comes first, so that all processes choose the same one. */
export function firstById<T extends { readonly id: string }>(a: T, b: T): T {
  return b.id < a.id ? b : a;
}

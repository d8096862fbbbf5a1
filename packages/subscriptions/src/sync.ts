import type { ProlificSubscription } from "./prolific.js";
import type { TolokaSubscription } from "./toloka.js";

export interface SyncOptions<Subscription = TolokaSubscription | ProlificSubscription> {
  /** Whether what is extra is deleted. Default false: it is only shown. */
  readonly deleteExtra?: boolean | undefined;
  /** Makes the plan and changes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * Which subscriptions of the account are this app's: no other is ever extra. Default: those whose URL
   * is one of the desired. After a change of address, one that takes in the old URL is needed.
   */
  readonly scope?: ((subscription: Subscription) => boolean) | undefined;
}

/** What a sync does, or did. `String(plan)` can be read by people. It holds no secrets. */
export interface SyncPlan<Form, Subscription> {
  /** The desired that were missing, without their `secret_key`. */
  readonly create: readonly Form[];
  /** What was there and is desired. */
  readonly keep: readonly Subscription[];
  /** What is in scope and not desired, duplicates included: left, or deleted if that was asked for. */
  readonly extra: readonly Subscription[];
  toString(): string;
}

/** How to compare the forms and the subscriptions of a provider. */
export interface Comparison<Form, Subscription> {
  /** What makes two of them the same subscription, in words for the plan. */
  readonly wordsOf: (item: Form | Subscription) => readonly [url: string, ...words: string[]];
  /** Of two for the same, the one to keep: the same in whatever process compares them. */
  readonly prefer: (a: Subscription, b: Subscription) => Subscription;
  /** What there is to say of one that is kept. */
  readonly note?: (kept: Subscription) => string;
}

/** A URL as it is compared: providers may write a host or an escape in another way. */
function sameUrl(url: string): string {
  return URL.canParse(url) ? new URL(url).href : url;
}

export function keyOf([url, ...words]: readonly [string, ...string[]]): string {
  return JSON.stringify([sameUrl(url), ...words]);
}

/**
 * @param done What was created since the plan was made first: it is neither missing nor kept.
 */
export function planOf<Form, Subscription extends { readonly id: string }>(
  desired: readonly Form[],
  present: readonly Subscription[],
  options: SyncOptions<Subscription>,
  { wordsOf, prefer, note = () => "" }: Comparison<Form, Subscription>,
  done?: { readonly create: readonly Form[]; readonly ids: ReadonlySet<string> },
): SyncPlan<Form, Subscription> {
  const urls = new Set(desired.map((form) => sameUrl(wordsOf(form)[0])));
  const { scope = (subscription: Subscription) => urls.has(sameUrl(wordsOf(subscription)[0])) } = options;
  const wanted = new Map(desired.map((form) => [keyOf(wordsOf(form)), form]));
  const kept = new Map<string, Subscription>();
  for (const subscription of present) {
    const key = keyOf(wordsOf(subscription));
    if (!wanted.has(key)) continue;
    const other = kept.get(key);
    kept.set(key, other === undefined ? subscription : prefer(other, subscription));
  }
  const keep = [...wanted.keys()].flatMap((key) => kept.get(key) ?? []);
  const keeping = new Set(keep);
  return new Plan(
    done?.create ?? [...wanted].filter(([key]) => !kept.has(key)).map(([, form]) => form),
    keep.filter(({ id }) => !done?.ids.has(id)),
    present.filter((subscription) => !keeping.has(subscription) && scope(subscription)),
    (item) => wordsOf(item).join(" "),
    note,
    options,
  );
}

/** A class, so that a plan that is printed whole shows its three lists and nothing else. */
class Plan<Form, Subscription> implements SyncPlan<Form, Subscription> {
  readonly #write: () => string;

  constructor(
    readonly create: readonly Form[],
    readonly keep: readonly Subscription[],
    readonly extra: readonly Subscription[],
    words: (item: Form | Subscription) => string,
    note: (kept: Subscription) => string,
    { dryRun = false, deleteExtra = false }: Pick<SyncOptions, "dryRun" | "deleteExtra">,
  ) {
    const fate = deleteExtra ? "to delete" : "extra, left as it is";
    this.#write = () =>
      [
        `${create.length} to create, ${keep.length} to keep, ${extra.length} ${fate}${dryRun ? " (dry run: nothing was changed)" : ""}`,
        ...create.map((form) => `+ ${words(form)}`),
        ...keep.map((kept) => `= ${words(kept)}${note(kept)}`),
        ...extra.map((each) => `${deleteExtra ? "-" : "?"} ${words(each)}`),
      ].join("\n");
  }

  toString(): string {
    return this.#write();
  }
}

/** Everything that an asynchronous list gives. */
export async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}

/** Of two ids, the one that comes first: so any two processes choose the same. */
export function firstById<T extends { readonly id: string }>(a: T, b: T): T {
  return b.id < a.id ? b : a;
}

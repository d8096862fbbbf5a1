import type { Provider } from "@crowdhook/core";
import type {
  RecoverableReceiver,
  RecoveryOptions,
  RecoveryResult,
  SyncPlan,
} from "@crowdhook/subscriptions";
import type { SecretOptions } from "../secrets.js";

/** The options that every `subscriptions` command has. */
export interface AccountOptions {
  readonly provider?: string;
  readonly baseUrl?: string;
  readonly json?: boolean;
}

/** The options of the commands that create subscriptions. */
export interface TargetOptions extends AccountOptions, SecretOptions {
  readonly url: string;
  readonly event: readonly string[];
}

/** An option that only some providers have. */
export interface AccountFlag {
  /** The commands that take it: all of them, those that create subscriptions, or `sync` alone. */
  readonly of: "account" | "target" | "sync";
  /** The flags in commander's form, such as `--pool <id>`. */
  readonly flags: string;
  readonly description: string;
  readonly isRepeatable?: boolean;
}

/** A subscription, as far as the commands read it. */
export interface Subscription {
  readonly id: string;
  readonly event_type: string;
  readonly [field: string]: unknown;
}

interface Created {
  readonly created: readonly Subscription[];
  /** Why some subscriptions were not created, one sentence each. */
  readonly errors: readonly string[];
}

interface TestResult {
  readonly success: boolean;
  readonly errorType?: string | undefined;
  readonly originalStatusCode?: number | undefined;
}

interface Sync {
  /** Whether it also changes subscriptions that exist. */
  readonly changesExisting: boolean;
  run(how: { readonly deleteExtra: boolean; readonly dryRun: boolean }): Promise<SyncPlan<unknown, unknown>>;
}

/** An account that requests can be made for. */
export interface Account {
  list(): AsyncIterable<Subscription>;
  /** @param types The event types to subscribe to. */
  create(types: readonly string[], options: TargetOptions): Promise<Created>;
  /** Makes the provider send a test delivery. Missing if the provider cannot. */
  test?(id: string): Promise<TestResult>;
  /** Resolves with whether the subscription existed. */
  delete(id: string): Promise<boolean>;
  recover(receiver: RecoverableReceiver, options: RecoveryOptions<Subscription>): Promise<RecoveryResult>;
  /** @param types The event types to subscribe to. */
  sync(types: readonly string[], options: TargetOptions): Promise<Sync>;
}

/** How `subscriptions` opens an account of one provider. */
export interface AccountOpener {
  readonly provider: Provider;
  /** The environment variables with the key, for the help. */
  readonly variables: string;
  readonly flags: readonly AccountFlag[];
  /** The options of a subscription besides its URL, as the help shows them. */
  readonly example: { readonly create: string; readonly sync: string };
  /** A sentence for the help of the commands that create subscriptions. */
  readonly targetNote?: string;
  /** Returns what a list shows of a subscription after its id and event type. Falsy parts are left out. */
  describe(subscription: Subscription): readonly unknown[];
  /** Returns where the provider sends a subscription's deliveries. */
  urlOf(subscription: Subscription): unknown;
  /** Returns whether the environment holds a key of this provider. */
  hasKey(): boolean;
  /** @throws UsageError if the key is missing and cannot be asked for. */
  open(options: AccountOptions): Promise<Account>;
}

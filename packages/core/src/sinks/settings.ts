/** The options that all durable sinks share. */
export interface QueueOptions {
  /** The prefix of the engine's queue names. Default `"crowdhook"`. */
  readonly queue?: string | undefined;
  /** The number of attempts after which an event counts as failed. Default 10. */
  readonly attempts?: number | undefined;
  /**
   * The base of the exponential backoff, in seconds. After attempt n an event waits for a random time
   * between `backoff` × 2ⁿ⁻¹ and twice that. At least 1. Default 5.
   */
  readonly backoff?: number | undefined;
  /**
   * How long the queue remembers a handled event, in seconds. During that time it ignores redeliveries of
   * the event. Default 604,800 (a week).
   */
  readonly retention?: number | undefined;
  /**
   * How long a worker's lease on its running events lasts, in seconds. A live worker renews the lease. If
   * a worker dies, another worker runs its events again after this time. Default 60.
   */
  readonly lease?: number | undefined;
}

/** {@link QueueOptions} with the defaults filled in. */
export type QueueSettings = Readonly<{
  [Option in keyof QueueOptions]-?: NonNullable<QueueOptions[Option]>;
}>;

const WEEK_S = 7 * 24 * 60 * 60;

/** @throws TypeError for invalid options. */
export function queueSettings(options: QueueOptions): QueueSettings {
  const { queue = "crowdhook", attempts = 10, backoff = 5, retention = WEEK_S, lease = 60 } = options;
  // Without "-", which separates the prefix from the provider in a queue's name.
  if (typeof queue !== "string" || !/^\w{1,50}$/.test(queue)) {
    throw new TypeError(`queue must be 1 to 50 letters, digits and "_", not ${JSON.stringify(queue)}.`);
  }
  requirePositiveInteger("attempts", attempts, "number");
  requirePositiveInteger("backoff", backoff, "number of seconds");
  requirePositiveInteger("retention", retention, "number of seconds");
  requirePositiveInteger("lease", lease, "number of seconds");
  return { queue, attempts, backoff, retention, lease };
}

/** @throws TypeError if the value is not a positive whole number. */
export function requirePositiveInteger(option: string, value: unknown, unit: string): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw new TypeError(`${option} must be a positive whole ${unit}, not ${JSON.stringify(value)}.`);
  }
}

/** The webhooks of one provider that each had one delivery, in a row. */
interface Run {
  /** The webhook with the latest first delivery. */
  latest?: object | undefined;
  length: number;
  readonly signatures: Set<string>;
  warned: boolean;
}

const runs = new Map<string, Run>();

/** One webhook can be new, and so can two. More of them are made for each request. */
const LONGEST = 3;

/**
 * Finds out that an app makes a webhook for each request. Such a webhook remembers no event, so
 * duplicates run twice. Returns a function to call for each delivery of this webhook. It calls `onFound`
 * once per process and provider: when several webhooks in a row had one delivery each, or when a webhook
 * gets the delivery of the one before.
 *
 * @param signature Tells the deliveries apart.
 */
export function watchMemory(provider: string, onFound: () => void): (signature: string) => void {
  const run = runs.get(provider) ?? { length: 0, signatures: new Set(), warned: false };
  runs.set(provider, run);
  const madeAfter = run.latest;
  const self = {};
  let deliveries = 0;
  return (signature) => {
    deliveries++;
    if (run.warned || deliveries > 2) return;
    if (deliveries === 2) {
      reset(run);
      return;
    }
    // Webhooks that were made at the start of the app were made before the first delivery of any.
    if (run.latest === undefined || madeAfter !== run.latest) reset(run);
    run.latest = self;
    run.length++;
    if (run.length >= LONGEST || (signature !== "" && run.signatures.has(signature))) {
      run.warned = true;
      run.signatures.clear();
      onFound();
    }
    run.signatures.add(signature);
  };
}

function reset(run: Run): void {
  run.latest = undefined;
  run.length = 0;
  run.signatures.clear();
}

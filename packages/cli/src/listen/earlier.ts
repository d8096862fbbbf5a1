import { colours, marked, print, printJson, UsageError } from "../output.js";
import { load, markShown } from "../stored.js";
import { createFilter } from "./filter.js";
import { inspectStored } from "./handle.js";
import { type HandledRequest, verdictOf } from "./handled.js";
import type { ListenOptions, Secrets } from "./options.js";
import { recordOf } from "./report.js";

/** If there are more, the oldest ones are only counted. */
const SHOWN_MAX = 20;
const TYPES_MAX = 3;

/**
 * Shows in short the deliveries in the folder of `--save` that were saved while nobody looked: by another
 * `listen`, or by one that was killed before it showed them.
 *
 * @param files What `notShownIn` returned before this process saved anything.
 */
export async function showEarlier(
  files: readonly string[],
  secrets: Secrets,
  options: ListenOptions,
): Promise<void> {
  const passes = createFilter(options);
  const latest: HandledRequest[] = [];
  let count = 0;
  for (const file of files) {
    const handled = await inspectFile(file, secrets, options);
    if (!handled || !passes(handled)) continue;
    count++;
    if (options.json) printJson({ ...recordOf(handled, options), earlier: true });
    else latest.push(handled);
    if (latest.length > SHOWN_MAX) latest.shift();
    await markShown(file, handled);
  }
  if (count === 0 || options.json) return;
  print(
    `${count} ${count === 1 ? "delivery" : "deliveries"} in ${options.save} ${count === 1 ? "was" : "were"} not shown yet:`,
  );
  if (count > latest.length) print(`  … ${count - latest.length} older`);
  for (const handled of latest) print(`  ${summaryOf(handled)}`);
  print();
}

/** Returns nothing for a file that is no delivery. */
async function inspectFile(file: string, secrets: Secrets, options: ListenOptions) {
  try {
    return await inspectStored(await load(file), file, secrets, options);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

function summaryOf(handled: HandledRequest): string {
  const { receivedAt, provider, inspection } = handled;
  const types = [...new Set(inspection?.events.map(({ type }) => type))];
  const shown = types.slice(0, TYPES_MAX).join(", ");
  const more = types.length > TYPES_MAX ? `, and ${types.length - TYPES_MAX} more types` : "";
  const verdict = [provider?.title, verdictOf(handled)].filter(Boolean).join(", ");
  const time = colours.dim(receivedAt.toISOString().slice(0, 19).replace("T", " "));
  return `${time} ${marked(verdictOf(handled) === "genuine", verdict)}  ${shown}${more}`;
}

import type { EventMap, ReceivedEvent } from "../event.js";
import { type Log, quote } from "../observing/log.js";
import type { Provider } from "../provider.js";

/**
 * Returns the provider's `subjectOf`. If the definition names fields as the subject, the log has a line for
 * each type whose first event has none of them: nothing else would show that a path is misspelt.
 */
export function subjectsOf<Events extends EventMap>(
  provider: Pick<Provider<Events>, "definition" | "subjectOf">,
  log: Log,
): (event: ReceivedEvent<Events>) => string | undefined {
  const paths = provider.definition?.envelope.subject;
  if (paths === undefined || typeof paths === "function") return (event) => provider.subjectOf(event);
  const seen = new Set<string>();
  return (event) => {
    const subject = provider.subjectOf(event);
    // The sender chooses the types of unrecognized events, so they could fill the set.
    if (event.problems === undefined && !seen.has(event.type)) {
      seen.add(event.type);
      if (subject === undefined) log.print("SUBJECT_MISSING", describe(event.type, [paths].flat()));
    }
    return subject;
  };
}

function describe(type: string, paths: readonly string[]): string {
  return `an event of type ${quote(type)} has no id in ${paths.join(" or ")}, so it is in no order and never stale. Correct envelope.subject, unless such events are about nothing.`;
}

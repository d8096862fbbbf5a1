import type { TimelineEntry } from "../../src/wire.js";
import { linkTo } from "../parts/routes.js";
import { dateTime, span, Text } from "../parts/text.js";
import { get } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";

interface Props {
  readonly provider: string;
  readonly subject: string;
  readonly version: string;
}

/** Between two events of a subject, a longer time is shown as a gap. In seconds. */
const GAP = 3_600;

export function TimelineView({ provider, subject, version }: Props) {
  const query = new URLSearchParams({ provider, subject });
  const { value: entries, error } = useLoaded(`${query} ${version}`, () =>
    get<readonly TimelineEntry[]>(`timeline?${query}`),
  );
  if (error !== undefined) return <p class="problem">{error}</p>;
  if (entries === undefined) return <p class="dim">…</p>;
  const time = (entry: TimelineEntry) => entry.occurredAt ?? entry.receivedAt;
  return (
    <article>
      <h1>
        <Text text={subject} />
      </h1>
      <p class="dim">
        <Text text={provider} /> · {entries.length === 1 ? "1 event" : `${entries.length} events`}, in the
        order in which they happened
      </p>
      <ol class="timeline">
        {entries.map((entry, index) => {
          const previous = entries[index - 1];
          const elapsed = previous === undefined ? 0 : (time(entry) - time(previous)) / 1000;
          return (
            <>
              {previous !== undefined && (
                <li class={elapsed >= GAP ? "gap" : "elapsed"}>
                  {elapsed >= GAP ? `gap of ${span(elapsed)}` : `+${span(elapsed)}`}
                </li>
              )}
              <li class={entry.isStale ? "stale" : entry.isDuplicate ? "duplicate" : ""}>
                <span class="line">
                  <b>
                    <Text text={entry.type || "(no type)"} />
                  </b>
                  {entry.isDuplicate && <span class="tag duplicate">duplicate</span>}
                  {entry.isStale && <span class="tag stale">stale: came after a later one</span>}
                  {entry.outcome !== undefined && !entry.isDuplicate && (
                    <span class={`tag ${entry.outcome}`}>{entry.outcome}</span>
                  )}
                  <span class="fill" />
                  <a href={linkTo("delivery", entry.delivery)}>#{entry.delivery}</a>
                </span>
                <span class="dim">{dateTime(time(entry))}</span>
              </li>
            </>
          );
        })}
      </ol>
    </article>
  );
}

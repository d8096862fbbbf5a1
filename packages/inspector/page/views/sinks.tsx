import { useEffect, useState } from "preact/hooks";
import type { DeadLetters, State } from "../../src/wire.js";
import { dateTime, Text } from "../parts/text.js";
import { get, post } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";

/** The values to filter by that have occurred. */
interface Known {
  readonly providers: readonly string[];
  readonly types: readonly string[];
}

const union = (a: readonly string[], b: readonly string[]) => [...new Set([...a, ...b])].sort();
const eventsIn = (count: number) => (count === 1 ? "1 event" : `${count} events`);

/** The events that failed in a sink for good. */
export function SinkView({ index, state }: { readonly index: number; readonly state: State }) {
  const [provider, setProvider] = useState("");
  const [type, setType] = useState("");
  const [round, setRound] = useState(0);
  const [message, setMessage] = useState<string>();
  const [isAsked, setAsked] = useState(false);
  const [known, setKnown] = useState<Known>({
    providers: state.sources.map((source) => source.provider),
    types: [],
  });
  const query = new URLSearchParams({ provider, type });
  const { value, error } = useLoaded(`${index} ${query} ${round}`, () =>
    get<DeadLetters>(`sinks/${index}?${query}`),
  );
  useEffect(() => {
    if (value)
      setKnown(({ providers, types }) => ({
        providers: union(
          providers,
          value.failed.map((letter) => letter.provider),
        ),
        types: union(
          types,
          value.failed.map((letter) => letter.type),
        ),
      }));
  }, [value]);
  const reload = () => setRound((round) => round + 1);
  const replay = (what: object) => {
    setAsked(false);
    post<{ count: number }>(`sinks/${index}/replay`, what)
      .then(({ count }) =>
        setMessage(`${eventsIn(count)} queued again. An event that fails again comes back to this list.`),
      )
      .catch((error: Error) => setMessage(error.message))
      .finally(reload);
  };
  const choose = (change: () => void) => {
    setAsked(false);
    setMessage(undefined);
    change();
  };
  const { failed = [], hasMore = false, blockedKeys } = value ?? {};
  const isFiltered = provider !== "" || type !== "";
  return (
    <article>
      <h1>Failed events{state.sinks > 1 && ` of sink ${index + 1}`}</h1>
      <form class="line" onSubmit={(event) => event.preventDefault()}>
        <select
          aria-label="Provider"
          value={provider}
          onChange={({ currentTarget }) => choose(() => setProvider(currentTarget.value))}
        >
          <option value="">All providers</option>
          {known.providers.map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
        <input
          aria-label="Type"
          placeholder="All types"
          list="types"
          value={type}
          onChange={({ currentTarget }) => choose(() => setType(currentTarget.value.trim()))}
        />
        <datalist id="types">
          {known.types.map((name) => (
            <option value={name} />
          ))}
        </datalist>
        <button type="button" onClick={reload}>
          Refresh
        </button>
        <span class="fill" />
        {isAsked ? (
          <button type="button" class="danger" onClick={() => replay({ provider, type })}>
            {hasMore ? "Really replay all that match?" : `Really replay ${eventsIn(failed.length)}?`}
          </button>
        ) : (
          <button type="button" disabled={failed.length === 0} onClick={() => setAsked(true)}>
            Replay all
          </button>
        )}
      </form>
      {message !== undefined && <p role="status">{message}</p>}
      {error !== undefined && <p class="problem">{error}</p>}
      {value && failed.length === 0 && (
        <p class="empty">{isFiltered ? "No failed event matches." : "No event has failed."}</p>
      )}
      {hasMore && <p class="dim">The {failed.length} oldest failures are shown. More events match.</p>}
      <ul class="events">
        {failed.map((letter) => (
          <li key={letter.id}>
            <span class="line">
              <b>
                <Text text={letter.type || "(no type)"} />
              </b>
              <span class="dim id">
                <Text text={letter.id} />
              </span>
              <span class="fill" />
              <span class="dim">
                <Text text={letter.provider} /> ·{" "}
                {letter.attempts === 1 ? "1 attempt" : `${letter.attempts} attempts`} ·{" "}
                {dateTime(letter.failedAt)}
              </span>
              <button type="button" onClick={() => replay({ id: letter.id })}>
                Replay
              </button>
            </span>
            <pre class="error">
              <Text text={letter.error} lines />
            </pre>
          </li>
        ))}
      </ul>
      {blockedKeys !== undefined && (
        <>
          <h2>Blocked keys</h2>
          <p class="dim">
            {blockedKeys.length === 0
              ? "No ordering key is blocked."
              : "Later events of these ordering keys wait until the failed event is replayed and handled."}
          </p>
          <ul class="blocked">
            {blockedKeys.map((key) => (
              <li>
                <Text text={key} />
              </li>
            ))}
          </ul>
        </>
      )}
    </article>
  );
}

import { useState } from "preact/hooks";
import type { DeadLetters, State } from "../../src/wire.js";
import { dateTime, Text } from "../parts/text.js";
import { get, post } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";

/** The events that failed in a sink for good. */
export function SinkView({ index, state }: { readonly index: number; readonly state: State }) {
  const [provider, setProvider] = useState("");
  const [type, setType] = useState("");
  const [round, setRound] = useState(0);
  const [message, setMessage] = useState<string>();
  const [isAsked, setAsked] = useState(false);
  const query = new URLSearchParams({ provider, type });
  const { value, error } = useLoaded(`${index} ${query} ${round}`, () =>
    get<DeadLetters>(`sinks/${index}?${query}`),
  );
  const replay = (what: object) => {
    setAsked(false);
    post<{ count: number }>(`sinks/${index}/replay`, what)
      .then(({ count }) =>
        setMessage(count === 1 ? "1 event is queued again." : `${count} events are queued again.`),
      )
      .catch((error: Error) => setMessage(error.message))
      .finally(() => setRound((round) => round + 1));
  };
  const providers = [...new Set(state.sources.map((source) => source.provider))];
  const failed = value?.failed ?? [];
  return (
    <article>
      <h1>Failed events{state.sinks > 1 && ` of sink ${index + 1}`}</h1>
      <form class="line" onSubmit={(event) => event.preventDefault()}>
        <select
          aria-label="Provider"
          value={provider}
          onChange={(event) => setProvider(event.currentTarget.value)}
        >
          <option value="">All providers</option>
          {providers.map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
        <input
          aria-label="Type"
          placeholder="Type"
          value={type}
          onChange={(event) => setType(event.currentTarget.value)}
        />
        <button type="button" onClick={() => setRound(round + 1)}>
          Refresh
        </button>
        <span class="fill" />
        {isAsked ? (
          <button type="button" class="danger" onClick={() => replay({ provider, type })}>
            Really replay all that match?
          </button>
        ) : (
          <button type="button" disabled={failed.length === 0} onClick={() => setAsked(true)}>
            Replay all
          </button>
        )}
      </form>
      {message !== undefined && <p role="status">{message}</p>}
      {error !== undefined && <p class="problem">{error}</p>}
      {value && failed.length === 0 && <p class="empty">No event has failed.</p>}
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
                {letter.attempts} attempts · {dateTime(letter.failedAt)}
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
      {value?.blockedKeys !== undefined && (
        <>
          <h2>Blocked keys</h2>
          {value.blockedKeys.length === 0 && <p class="dim">No key is blocked.</p>}
          <ul>
            {value.blockedKeys.map((key) => (
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

import { useEffect, useRef, useState } from "preact/hooks";
import type { State } from "../../src/wire.js";
import { goTo } from "../parts/routes.js";
import { Text } from "../parts/text.js";
import { get, post } from "../server/api.js";

/** A form for an event of any type, filled with the provider's sample. */
export function SendView({ state }: { readonly state: State }) {
  const sources = state.sources
    .map((source, index) => ({ ...source, index }))
    .filter(({ canSign }) => canSign);
  const [index, setIndex] = useState(sources[0]?.index ?? 0);
  const source = state.sources[index];
  const [type, setType] = useState(source?.defaultType ?? "");
  const [fields, setFields] = useState("");
  const [problem, setProblem] = useState<string>();
  // A sample that comes after another choice, or after the reader has begun to type, is dropped.
  const wanted = useRef({});
  const fill = () => {
    const own = {};
    wanted.current = own;
    const unlessDropped = (use: () => void) => wanted.current === own && use();
    get<object>(`sample?${new URLSearchParams({ source: String(index), type })}`).then(
      (sample) => unlessDropped(() => setFields(JSON.stringify(sample, undefined, 2))),
      (error: Error) => unlessDropped(() => setProblem(error.message)),
    );
  };
  // `fill` depends on these two
  useEffect(() => {
    if (sources.length > 0) fill();
  }, [index, type]);
  const send = async () => {
    setProblem(undefined);
    let parsed: unknown;
    try {
      parsed = JSON.parse(fields);
    } catch (error) {
      setProblem(`The fields are not JSON. ${(error as Error).message}`);
      return;
    }
    try {
      const { id } = await post<{ id?: number }>("send", { source: index, type, fields: parsed });
      if (id !== undefined) goTo("delivery", id);
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  if (sources.length === 0) return <p class="empty">No provider here has samples to send.</p>;
  return (
    <article>
      <h1>Send an event</h1>
      <form
        class="editor"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <p class="line">
          <select
            aria-label="Provider"
            value={index}
            onChange={(event) => {
              const chosen = Number(event.currentTarget.value);
              setIndex(chosen);
              setType(state.sources[chosen]?.defaultType ?? "");
            }}
          >
            {sources.map(({ index, title }) => (
              <option value={index}>{title}</option>
            ))}
          </select>
          <select
            aria-label="Event type"
            value={type}
            onChange={(event) => setType(event.currentTarget.value)}
          >
            {source?.types.map((name) => (
              <option value={name}>{name}</option>
            ))}
          </select>
          <button type="button" onClick={fill}>
            New ids
          </button>
        </p>
        <textarea
          aria-label="Fields"
          spellcheck={false}
          rows={16}
          value={fields}
          onInput={(event) => {
            wanted.current = {};
            setFields(event.currentTarget.value);
          }}
        />
        {problem !== undefined && (
          <p class="problem">
            <Text text={problem} />
          </p>
        )}
        <p class="line">
          <button type="submit">Sign and send</button>
          <span class="dim">The server signs. The page never has the secret.</span>
        </p>
      </form>
    </article>
  );
}

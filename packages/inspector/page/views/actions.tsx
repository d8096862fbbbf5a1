import { useEffect, useState } from "preact/hooks";
import type { Detail } from "../../src/wire.js";
import { openForActions } from "../parts/asked-action.js";
import { goTo } from "../parts/routes.js";
import { Text } from "../parts/text.js";
import { get, getBytes, post } from "../server/api.js";

interface Props {
  readonly detail: Detail;
  readonly marked: number | undefined;
  readonly onMark: (id: number) => void;
}

/** What the reader can do with a delivery. */
export function Actions({ detail, marked, onMark }: Props) {
  const { id } = detail.row;
  const { can } = detail;
  const [problem, setProblem] = useState<string>();
  const [edited, setEdited] = useState<string>();
  const [exported, setExported] = useState<{ name: string; text: string }>();
  const attempt = (action: () => Promise<unknown>) => {
    setProblem(undefined);
    action().catch((error: Error) => setProblem(error.message));
  };
  const send = (path: string, value: object) =>
    attempt(async () => {
      const { hash } = location;
      const { id: arrived } = await post<{ id?: number }>(`deliveries/${id}/${path}`, value);
      setEdited(undefined);
      // The reader may have gone elsewhere.
      if (arrived !== undefined && location.hash === hash) goTo("delivery", arrived);
    });
  const replay = () => can.replay && send("replay", { sign: can.sign });
  const edit = () =>
    can.sign &&
    attempt(async () =>
      setEdited(
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(await getBytes(`deliveries/${id}/body`)),
      ),
    );
  const compare = () => (marked === undefined || marked === id ? onMark(id) : goTo("compare", marked, id));
  useEffect(() => openForActions(id, (action) => ({ replay, edit, compare })[action]()));
  return (
    <div class="actions">
      <button
        type="button"
        disabled={!can.replay}
        onClick={replay}
        title="The same body, with a new signature (r)"
      >
        {can.sign ? "Sign and send again" : "Send again"}
      </button>
      {can.sign && (
        <button
          type="button"
          onClick={() => send("replay", { sign: false })}
          title="The same bytes and headers. An old signature is refused."
        >
          Send unchanged
        </button>
      )}
      <button
        type="button"
        disabled={!can.sign}
        onClick={edit}
        title="Change the body, sign it and send it (e)"
      >
        Edit
      </button>
      <button
        type="button"
        disabled={!can.sendAsNew}
        onClick={() => send("new", {})}
        title="The same events under new ids, so that they are no duplicates"
      >
        Send as new events
      </button>
      <button
        type="button"
        onClick={compare}
        title="Mark this delivery, then open another one and compare (c)"
      >
        {marked === undefined
          ? "Compare"
          : marked === id
            ? "Compare: open another"
            : `Compare with #${marked}`}
      </button>
      {(["curl", "vitest", "file"] as const).map((form) => (
        <button
          type="button"
          onClick={() => attempt(async () => setExported(await get(`deliveries/${id}/export/${form}`)))}
        >
          {form === "file" ? "Replay file" : form === "curl" ? "curl" : "Test"}
        </button>
      ))}
      {problem !== undefined && (
        <p class="problem">
          <Text text={problem} />
        </p>
      )}
      {edited !== undefined && (
        <Editor
          text={edited}
          onCancel={() => setEdited(undefined)}
          onSend={(body) => send("replay", { sign: true, body })}
        />
      )}
      {exported !== undefined && <Exported {...exported} onClose={() => setExported(undefined)} />}
    </div>
  );
}

interface EditorProps {
  readonly text: string;
  readonly onSend: (text: string) => void;
  readonly onCancel: () => void;
}

function Editor({ text, onSend, onCancel }: EditorProps) {
  const [value, setValue] = useState(text);
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        onSend(value);
      }}
    >
      <textarea
        aria-label="Body"
        spellcheck={false}
        rows={12}
        value={value}
        onInput={(event) => setValue(event.currentTarget.value)}
      />
      <p class="line">
        <button type="submit">Sign and send</button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        <span class="dim">The server signs. The page never has the secret.</span>
      </p>
    </form>
  );
}

function Exported({ name, text, onClose }: { name: string; text: string; onClose: () => void }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true));
  return (
    <div class="exported">
      <p class="line">
        <b>{name}</b>
        <span class="fill" />
        <button type="button" onClick={copy}>
          {isCopied ? "Copied" : "Copy"}
        </button>
        <button type="button" onClick={onClose}>
          Close
        </button>
      </p>
      <pre>
        <Text text={text.slice(0, 100_000)} lines />
      </pre>
    </div>
  );
}

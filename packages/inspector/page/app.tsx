import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { State } from "../src/wire.js";
import { type Action, askFor, dropAskedExcept } from "./parts/asked-action.js";
import { KEYS, type Key, useKeys } from "./parts/keys.js";
import { currentRoute, goTo, linkTo, type Route, useRoute } from "./parts/routes.js";
import { Text } from "./parts/text.js";
import { followStream, get } from "./server/api.js";
import { createRows, type Rows } from "./server/rows.js";
import { CompareView } from "./views/compare.js";
import { DeliveryView } from "./views/delivery.js";
import { DeliveryList } from "./views/list.js";
import { SendView } from "./views/send.js";
import { SinkView } from "./views/sinks.js";
import { TimelineView } from "./views/timeline.js";

export function App() {
  const { rows, version, problem } = useRows();
  const [filter, setFilter] = useState("");
  // `version` stands for the rows
  const shown = useMemo(() => rows.filtered(filter), [rows, version, filter]);
  const route = useRoute();
  const { cursor, latestCursor, setCursor } = useCursor();
  const [marked, setMarked] = useState<number>();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const state = useServerState();
  // `crowdhook queue ui` has no deliveries.
  const isQueueOnly = state !== undefined && state.sources.length === 0;
  useEffect(() => {
    if (route.view === "delivery") setCursor(route.id);
    dropAskedExcept(route.view === "delivery" ? route.id : undefined);
  }, [route]);
  useKeys((key) => {
    // Not `route`: the view of a row that was clicked is drawn later.
    const now = currentRoute();
    const index = shown.findIndex(({ id }) => id === latestCursor());
    const move = (to: number) => {
      const row = shown[Math.min(Math.max(to, 0), shown.length - 1)];
      if (row === undefined) return;
      setCursor(row.id);
      if (now.view === "delivery") goTo("delivery", row.id);
    };
    const act = (action: Action) => now.view === "delivery" && askFor(now.id, action);
    const actions: Record<Key, () => void> = {
      j: () => move(index + 1),
      k: () => move(index < 0 ? 0 : index - 1),
      Enter: () => goTo("delivery", latestCursor() ?? shown[0]?.id ?? 0),
      r: () => act("replay"),
      e: () => act("edit"),
      c: () => act("compare"),
      "/": () => search.current?.focus(),
      "?": () => setHelpOpen(!isHelpOpen),
      Escape: () => (isHelpOpen ? setHelpOpen(false) : goTo()),
    };
    actions[key]();
  });
  return (
    <div class={`app ${isQueueOnly ? "queue-only" : route.view === "list" ? "at-list" : "at-view"}`}>
      <header>
        <a class="brand" href={linkTo()}>
          crowdhook
        </a>
        {isQueueOnly && <span class="dim">the failed events of a queue</span>}
        <input
          ref={search}
          type="search"
          aria-label="Filter"
          placeholder="Filter ( / )"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <span class="count">{rows.size}</span>
        <nav>
          <a href={linkTo("send")}>Send</a>
          {Array.from({ length: state?.sinks ?? 0 }, (_, index) => (
            <a href={linkTo("sink", index)}>Failed{(state?.sinks ?? 0) > 1 && ` ${index + 1}`}</a>
          ))}
          <button type="button" aria-label="Keys" onClick={() => setHelpOpen(!isHelpOpen)}>
            ?
          </button>
        </nav>
      </header>
      {problem !== undefined && (
        <p class="problem banner" role="alert">
          <Text text={problem} />
        </p>
      )}
      <main>
        <div class="list-pane">
          <DeliveryList rows={shown} total={rows.size} filter={filter} selected={cursor} marked={marked} />
        </div>
        <div class="view-pane" key={JSON.stringify(route)}>
          <a class="back" href={linkTo()}>
            ← All deliveries
          </a>
          <View
            route={isQueueOnly ? { view: "sink", index: 0 } : route}
            rows={rows}
            version={version}
            state={state}
            marked={marked}
            onMark={setMarked}
          />
        </div>
      </main>
      {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
    </div>
  );
}

/** The selected delivery. `latestCursor` knows it before the page is drawn, for keys that follow fast. */
function useCursor() {
  const latest = useRef<number | undefined>(undefined);
  const [cursor, draw] = useState<number>();
  const setCursor = (id: number) => {
    latest.current = id;
    draw(id);
  };
  return { cursor, latestCursor: () => latest.current, setCursor };
}

interface ViewProps {
  readonly route: Route;
  readonly rows: Rows;
  readonly version: number;
  readonly state: State | undefined;
  readonly marked: number | undefined;
  readonly onMark: (id: number) => void;
}

function View({ route, rows, version, state, marked, onMark }: ViewProps) {
  switch (route.view) {
    case "delivery": {
      // A refusal gets its cause, and its events, later than its row.
      const row = rows.get(route.id);
      const rowVersion = `${row?.status} ${row?.events} ${row?.reason}`;
      return <DeliveryView id={route.id} version={rowVersion} marked={marked} onMark={onMark} />;
    }
    case "compare":
      return <CompareView a={route.a} b={route.b} />;
    case "timeline":
      return <TimelineView provider={route.provider} subject={route.subject} version={`${version}`} />;
    case "send":
      return state ? <SendView state={state} /> : null;
    case "sink":
      return state ? <SinkView key={route.index} index={route.index} state={state} /> : null;
    default:
      return <p class="empty">Open a delivery: click it, or press j and Enter.</p>;
  }
}

/** Follows the stream. Draws at most once a frame, however many rows arrive. */
function useRows() {
  const rows = useMemo(createRows, []);
  const [version, setVersion] = useState(0);
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let isDue = false;
    const draw = () => {
      isDue = false;
      setVersion((version) => version + 1);
    };
    void followStream((batch) => {
      rows.apply(batch);
      if (!isDue) requestAnimationFrame(draw);
      isDue = true;
    }, setProblem);
  }, [rows]);
  return { rows, version, problem };
}

function useServerState(): State | undefined {
  const [state, setState] = useState<State>();
  useEffect(() => {
    // Without an answer, the stream tells the reader why.
    get<State>("state").then(setState, () => {});
  }, []);
  return state;
}

function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <div class="help" role="dialog" aria-label="Keys">
      <dl>
        {Object.entries(KEYS).map(([key, does]) => (
          <div>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={onClose}>
        Close
      </button>
    </div>
  );
}

import type { Outcome, Provider } from "@crowdhook/core";
import { headersOf, type StoredAnswer } from "@crowdhook/core/internal";
import {
  type Captured,
  type CapturedAnswer,
  createInspector,
  eventDetails,
  type Source,
} from "@crowdhook/inspector/internal";
import { agentFor, exchange } from "../http/exchange.js";
import { providerOf } from "../providers.js";
import { filesIn, load, type StoredFile } from "../stored.js";
import { serveUi, type UiServer } from "../ui/server.js";
import { answerIn } from "./answered.js";
import type { Forwarded } from "./forward.js";
import { inspectStored } from "./handle.js";
import { type HandledRequest, sentencesOf, verdictOf } from "./handled.js";
import type { ListenOptions, Secrets } from "./options.js";

/** The page that shows the deliveries of `listen`. */
export interface Ui extends UiServer {
  show(handled: HandledRequest): void;
}

/** Starts the page. It also shows the deliveries that are stored in the folder of `--save`. @param origin Where `listen` answers. */
export async function startUi(options: ListenOptions, secrets: Secrets, origin: string): Promise<Ui> {
  const sources = new Map(
    [...secrets].map(([provider, own]) => [provider, sourceOf(provider, own, origin, options)]),
  );
  const inspector = createInspector({ sources: [...sources.values()], origin: () => origin });
  if (options.save !== undefined) {
    for (const { file, delivery } of await savedIn(options.save)) {
      const provider = providerOf(headersOf(delivery.headers), delivery.body);
      const source = provider && sources.get(provider);
      const { answered } = delivery;
      const request = { ...delivery, ...answerIn(answered), secrets: 0 };
      // Until it is judged, which takes time.
      const unjudged = { ...captured(request, source), verdict: "unverified", code: undefined } as const;
      inspector.restore(unjudged, async () => {
        const inspected = await inspectStored(delivery, file, secrets, options);
        const judged = captured({ ...inspected, ...answerIn(answered) }, source);
        return answered === undefined ? judged : { ...judged, ...verdictIn(answered) };
      });
    }
  }
  const server = await serveUi(inspector, options.ui === true ? 0 : (options.ui ?? 0));
  return {
    ...server,
    show(handled) {
      const source = handled.provider && sources.get(handled.provider);
      inspector.show(captured(handled, source));
    },
  };
}

/** Deliveries from the page take the way of all others: they are saved, forwarded and reported. */
function sourceOf(
  provider: Provider,
  secrets: readonly string[],
  origin: string,
  { tolerance, timeout }: ListenOptions,
): Source {
  const agent = agentFor(new URL(origin), 1);
  return {
    provider,
    tolerance,
    secretsFor: async () => secrets,
    deliver: ({ path, ...delivery }) =>
      exchange({ ...delivery, url: new URL(origin + path) }, { agent, timeout }),
  };
}

function captured(handled: HandledRequest, source: Source | undefined): Captured {
  const {
    receivedAt,
    method,
    path,
    headers,
    body,
    inspection,
    mistakes = [],
    unread,
    reply,
    forwarded,
  } = handled;
  const [mistake] = mistakes;
  const code = inspection?.code ?? unread;
  return {
    receivedAt: receivedAt.getTime(),
    source,
    method,
    path,
    headers,
    body,
    verdict: code !== undefined || !source ? "refused" : handled.secrets > 0 ? "genuine" : "unverified",
    code: source ? code : (unread ?? verdictOf(handled)),
    reason: mistake ? sentencesOf(mistake) : inspection?.reason,
    events: source ? eventDetails(source.provider, outcomesOf(handled), false) : [],
    reply: reply && { ...reply, headers: Object.entries(reply.headers) },
    forwarded: forwarded && forwardedAs(forwarded),
    duration: forwarded?.answer?.milliseconds,
  };
}

/** The reply tells the outcome of each event only if all events have the same one. */
function outcomesOf({ inspection, reply }: HandledRequest): Parameters<typeof eventDetails>[1] {
  const { events = [] } = inspection ?? {};
  const counts = Object.entries(reply ? Object(JSON.parse(reply.body)) : {});
  const [outcome] = counts.find(([, count]) => count === events.length) ?? [];
  return events.map((event) => (outcome === undefined ? { event } : { event, outcome: outcome as Outcome }));
}

/** Files from before this start are shown at most; the newest ones count. */
const RESTORED_MAX = 10_000;

/** Returns the deliveries in the files of a folder, oldest first. Skips files that are no deliveries. */
async function savedIn(folder: string): Promise<readonly StoredFile[]> {
  const files = await filesIn(folder);
  const stored: StoredFile[] = [];
  for (const file of files.slice(-RESTORED_MAX)) {
    const delivery = await load(file).catch(() => undefined);
    if (delivery) stored.push({ file, delivery });
  }
  return stored;
}

/** The verdict at the time of the answer: with the secrets of today it may be another one. */
function verdictIn({ verdict }: StoredAnswer): Partial<Captured> {
  if (verdict === "genuine") return { verdict, code: undefined, reason: undefined };
  if (verdict === "not verified") return { verdict: "unverified", code: undefined, reason: undefined };
  return { verdict: "refused", code: verdict };
}

function forwardedAs({ url, answer, failure }: Forwarded): Captured["forwarded"] {
  if (failure) return { url: url.href, failure: failure.message };
  const shown: CapturedAnswer = {
    status: answer.status,
    headers: answer.headers,
    body: answer.body.toString(),
  };
  return { url: url.href, answer: shown };
}

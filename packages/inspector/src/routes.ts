import type { IncomingMessage, ServerResponse } from "node:http";
import type { Captured, OutgoingDelivery, Source } from "./deliveries/captured.js";
import { compareBodies } from "./deliveries/compare.js";
import { detailOf, hidingFor, inspectCaptured, senderOf } from "./deliveries/details.js";
import { exportAs } from "./deliveries/exports.js";
import { createHiding, standingSecrets } from "./deliveries/hiding.js";
import { eventOf, newEventsOf, replayOf } from "./deliveries/sending.js";
import type { DeliveryStore, Entry } from "./deliveries/store.js";
import { timelineOf } from "./deliveries/timeline.js";
import { RequestError, readJson, respondBytes, respondJson } from "./http/respond.js";
import { streamRows } from "./http/stream.js";
import { deadLettersOf, type FailedEvents, replayDeadLetters } from "./sinks.js";
import type { EventPage, State } from "./wire.js";

export interface RouteSettings {
  readonly sources: readonly Source[];
  readonly sinks: readonly FailedEvents[];
  readonly store: DeliveryStore;
  readonly origin: () => string;
  /** Resolves with the id under which the delivery arrived. */
  send(source: Source, outgoing: OutgoingDelivery, origin?: number): Promise<number | undefined>;
}

type Route = (call: Call) => Promise<unknown> | unknown;

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** The parts of the path that stand for `:`. */
  readonly params: readonly string[];
}

const EVENTS_PER_PAGE = 100;

/** Returns a function that answers a call of the API. @throws RequestError if it cannot. */
export function createRoutes(settings: RouteSettings) {
  const routes = Object.entries({ ...readingRoutes(settings), ...sendingRoutes(settings) }).map(
    ([name, route]) => {
      const [method, path = ""] = name.split(" ");
      return { method, pattern: new RegExp(`^${path.replaceAll(":", "([^/]+)")}$`), route };
    },
  );
  return async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    for (const { method, pattern, route } of routes) {
      const match = method === request.method ? pattern.exec(url.pathname) : null;
      if (match === null) continue;
      const result = await route({ request, response, query: url.searchParams, params: match.slice(1) });
      if (!response.headersSent) respondJson(response, result ?? null);
      return;
    }
    throw new RequestError("There is no such call.", 404);
  };
}

function readingRoutes({ sources, sinks, store, origin }: RouteSettings): Record<string, Route> {
  const entry = (id: string | null | undefined) => entryOf(store, id);
  const hiddenBody = async ({ captured }: Entry) =>
    (await hidingFor(captured, sources)).bytes(captured.body ?? new Uint8Array());

  const standing = async () => createHiding(await standingSecrets(sources));

  return {
    "GET /api/state": () => stateOf(sources, sinks),

    "GET /api/stream": async ({ response }) => streamRows(store, response, (await standing()).json),

    "GET /api/deliveries/:": ({ params: [id] }) => detailOf(entry(id), sources),

    "GET /api/deliveries/:/body": async ({ params: [id], response }) =>
      respondBytes(response, await hiddenBody(entry(id))),

    "GET /api/deliveries/:/fitting": async ({ params: [id], response }) => {
      const { captured } = entry(id);
      const mismatch = (await inspectCaptured(captured, sources))?.inspection.mismatch;
      if (mismatch === undefined) throw new RequestError("No body is known that would fit.", 404);
      respondBytes(response, (await hidingFor(captured, sources)).bytes(mismatch.body));
    },

    "GET /api/deliveries/:/events": async ({ params: [id], query }): Promise<EventPage> => {
      const { captured } = entry(id);
      const hiding = await hidingFor(captured, sources);
      const from = Math.max(0, Math.trunc(Number(query.get("from"))) || 0);
      const events = captured.events.slice(from, from + EVENTS_PER_PAGE);
      return { total: captured.events.length, from, events: hiding.json(events) };
    },

    "GET /api/deliveries/:/export/:": async ({ params: [id, form = ""] }) => {
      const { captured } = entry(id);
      const exported = exportAs(form, captured, await hidingFor(captured, sources), origin());
      if (exported === undefined) throw new RequestError("There is no such form.", 404);
      return exported;
    },

    "GET /api/compare": async ({ query }) =>
      compareBodies(await hiddenBody(entry(query.get("a"))), await hiddenBody(entry(query.get("b")))),

    "GET /api/timeline": async ({ query }) =>
      (await standing()).json(
        timelineOf(store.entries(), query.get("provider") ?? "", query.get("subject") ?? ""),
      ),

    "GET /api/sample": ({ query }) => {
      const sender = senderOf(sourceOf(sources, query.get("source")));
      if (sender === undefined) throw new RequestError("This provider has no samples.", 404);
      return sender.sample(query.get("type") ?? sender.defaultType).content;
    },

    "GET /api/sinks/:": async ({ params: [index], query }) =>
      (await standing()).json(await deadLettersOf(sinkOf(sinks, index), query)),
  };
}

function sendingRoutes({ sources, sinks, store, send }: RouteSettings): Record<string, Route> {
  const again = async (
    id: string | undefined,
    compose: (captured: Captured) => Promise<OutgoingDelivery>,
  ) => {
    const { captured, row } = entryOf(store, id);
    const { source } = captured;
    if (source === undefined) throw new RequestError("The provider of this delivery is unknown.");
    return { id: await send(source, await compose(captured), row.id) };
  };

  return {
    "POST /api/deliveries/:/replay": async ({ request, params: [id] }) => {
      const { sign, body } = await readJson(request);
      if (body !== undefined && typeof body !== "string") throw new RequestError("body must be a text.");
      return again(id, (captured) =>
        replayOf(
          captured,
          { sign: sign === true, body: body === undefined ? captured.body : Buffer.from(body) },
          sources,
        ),
      );
    },

    "POST /api/deliveries/:/new": async ({ request, params: [id] }) => {
      await readJson(request);
      return again(id, (captured) => newEventsOf(captured, sources));
    },

    "POST /api/send": async ({ request }) => {
      const { source: index, type, fields } = await readJson(request);
      const source = sourceOf(sources, String(index));
      if (typeof type !== "string" || typeof fields !== "object" || fields === null || Array.isArray(fields))
        throw new RequestError("type must be a text, and fields an object.");
      const outgoing = await eventOf(source, type, fields as Readonly<Record<string, unknown>>);
      return { id: await send(source, outgoing) };
    },

    "POST /api/sinks/:/replay": async ({ request, params: [index] }) => ({
      count: await replayDeadLetters(sinkOf(sinks, index), await readJson(request)),
    }),
  };
}

function stateOf(sources: readonly Source[], sinks: readonly FailedEvents[]): State {
  return {
    sources: sources.map((source) => {
      const { name, title, eventTypes } = source.provider;
      const sender = senderOf(source);
      const defaultType = sender?.defaultType ?? eventTypes[0] ?? "";
      return { provider: name, title, types: eventTypes, defaultType, canSign: sender !== undefined };
    }),
    sinks: sinks.length,
  };
}

function entryOf(store: DeliveryStore, id: string | null | undefined): Entry {
  const entry = store.get(Number(id));
  if (entry === undefined) throw new RequestError("This delivery is no longer kept.", 404);
  return entry;
}

function sourceOf(sources: readonly Source[], index: string | null): Source {
  const source = sources[Number(index ?? Number.NaN)];
  if (source === undefined) throw new RequestError("There is no such provider.", 404);
  return source;
}

function sinkOf(sinks: readonly FailedEvents[], index: string | undefined): FailedEvents {
  const sink = sinks[Number(index ?? Number.NaN)];
  if (sink === undefined) throw new RequestError("There is no such sink.", 404);
  return sink;
}

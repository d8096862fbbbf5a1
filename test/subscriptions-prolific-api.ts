import { type ApiResponse, type ApiServer, startApiServer } from "./subscriptions-server.js";

interface Form {
  event_type: string;
  target_url: string;
  is_enabled?: boolean;
}

export interface ListedEvent {
  id: string;
  datetime_created: string;
  event_type: string;
  resource_id: string;
  status: string;
  payload: unknown;
}

export interface ProlificApi extends ApiServer {
  /** The workspace's subscriptions by id. */
  readonly subscriptions: Map<string, Record<string, unknown>>;
  /** The ids of the confirmed subscriptions. */
  readonly confirmed: Set<string>;
  /** The ids of the subscriptions that never had an event. */
  readonly unused: Set<string>;
  /** The events of a subscription, by its id. Without a list it has three. */
  readonly events: Map<string, ListedEvent[]>;
  /** The largest page, whatever `limit` asks for. */
  pageSize: number;
  /** Adds a subscription to the workspace and returns its id. */
  add(form: Form): string;
}

/** Returns the `X-Hook-Secret` of a subscription. */
export const hookSecretOf = (id: string) => `hook-secret-of-${id}`;

/** Starts Prolific's API as its reference describes it. Like Prolific, it accepts duplicate subscriptions. */
export async function startProlificApi(
  workspaceId: string,
  token = "Token test-token",
): Promise<ProlificApi> {
  const workspace = createWorkspace(workspaceId);
  const server = await startApiServer(({ method, path, query, headers, body: json }) => {
    if (headers.authorization !== token) return refused(401, "Unauthorised", "Invalid token.");
    const body = (json ?? {}) as Record<string, unknown>;
    if ((query.workspace_id ?? body.workspace_id ?? workspaceId) !== workspaceId) {
      return refused(400, "Validation error", { workspace_id: ["No such workspace."] });
    }
    return (
      handleWorkspaceCall(workspace, `${method} ${path}`, query, body) ??
      handleSubscriptionCall(workspace, method, path, query, body)
    );
  });
  return {
    ...server,
    subscriptions: workspace.subscriptions,
    confirmed: workspace.confirmed,
    unused: workspace.unused,
    events: workspace.events,
    get pageSize() {
      return workspace.pageSize;
    },
    set pageSize(size) {
      workspace.pageSize = size;
    },
    add: workspace.add,
    reset() {
      server.reset();
      workspace.clear();
    },
  };
}

type Workspace = ReturnType<typeof createWorkspace>;

function createWorkspace(id: string) {
  const subscriptions = new Map<string, Record<string, unknown>>();
  const confirmed = new Set<string>();
  const unused = new Set<string>();
  const events = new Map<string, ListedEvent[]>();
  let count = 0;
  return {
    id,
    subscriptions,
    confirmed,
    unused,
    events,
    // Two per page, so that few items fill several pages.
    pageSize: 2,
    add(form: Form): string {
      const hookId = `hook-${String(++count).padStart(4, "0")}`;
      subscriptions.set(hookId, { is_enabled: true, ...form, id: hookId, workspace_id: id });
      return hookId;
    },
    clear() {
      subscriptions.clear();
      confirmed.clear();
      unused.clear();
      events.clear();
      this.pageSize = 2;
      count = 0;
    },
  };
}

/** Handles the calls whose path names no subscription. */
function handleWorkspaceCall(
  { id: workspace_id, subscriptions, add, pageSize }: Workspace,
  call: string,
  query: Record<string, string>,
  body: Record<string, unknown>,
): ApiResponse | undefined {
  switch (call) {
    case "GET /hooks/event-types/":
      return { status: 200, body: [{ event_type: "study.status.change", description: "A new status." }] };
    case "GET /hooks/secrets/":
      return { status: 200, body: { results: [{ id: "s1", value: "old", workspace_id }] } };
    case "POST /hooks/secrets/":
      return { status: 201, body: { id: "s2", value: "new", workspace_id } };
    case "GET /hooks/subscriptions": {
      const { is_enabled = "true" } = query;
      const all = [...subscriptions.values()].filter((each) => String(each.is_enabled) === is_enabled);
      return page(all, query, pageSize);
    }
    case "POST /hooks/subscriptions/": {
      const { event_type, target_url, is_enabled } = body as Record<string, string>;
      const id = add({
        event_type: `${event_type}`,
        target_url: `${target_url}`,
        ...(is_enabled !== undefined && { is_enabled: Boolean(is_enabled) }),
      });
      return { status: 201, body: subscriptions.get(id), headers: { "X-Hook-Secret": hookSecretOf(id) } };
    }
    default:
      return undefined;
  }
}

/** Handles the calls whose path names a subscription. */
function handleSubscriptionCall(
  { subscriptions, confirmed, unused, events, pageSize }: Workspace,
  method: string,
  path: string,
  query: Record<string, string>,
  body: Record<string, unknown>,
): ApiResponse {
  const [, id = "", rest] = /^\/hooks\/subscriptions\/([\w-]+)\/(events\/)?$/.exec(path) ?? [];
  const subscription = subscriptions.get(id);
  if (!subscription) return refused(404, "Not found", "No such thing.");
  if (rest) {
    const all = events.get(id)?.filter(({ status }) => [undefined, status].includes(query.status));
    return page(unused.has(id) ? [] : (all ?? eventsOf(subscription, query.status)), query, pageSize);
  }
  switch (method) {
    case "GET":
      return { status: 200, body: subscription };
    case "PATCH":
      return { status: 200, body: Object.assign(subscription, body) };
    case "DELETE":
      subscriptions.delete(id);
      return { status: 204 };
    case "POST":
      if (body.secret !== hookSecretOf(id)) return refused(400, "Bad secret", `${body.secret} is not it.`);
      confirmed.add(id);
      return { status: 200, body: subscription };
    default:
      return refused(405, "Method not allowed", undefined);
  }
}

function eventsOf({ event_type, target_url }: Record<string, unknown>, status = "SUCCEEDED") {
  return ["e1", "e2", "e3"].map((id) => ({
    id,
    datetime_created: "2024-01-01T00:00:00Z",
    datetime_updated: "2024-01-01T00:00:00Z",
    event_type,
    resource_id: "submission-1",
    status,
    target_url,
  }));
}

function refused(status: number, title: string, detail: unknown): ApiResponse {
  return { status, body: { error: { status, error_code: 140_000 + status, title, detail } } };
}

/** Returns one page of at most `max` items, whatever `limit` asks for. */
function page(
  all: readonly object[],
  { limit = "20", offset = "0" }: Record<string, string>,
  max: number,
): ApiResponse {
  const size = Math.min(max, Number(limit));
  return { status: 200, body: { results: all.slice(Number(offset), Number(offset) + size) } };
}

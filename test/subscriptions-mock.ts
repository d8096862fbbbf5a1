import { once } from "node:events";
import http, { type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type Context, type Document, OpenAPIBackend } from "openapi-backend";

/** A request as it was on the wire. */
interface Seen {
  readonly method: string;
  /** Without the query, below the base URL. */
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingHttpHeaders;
  /** Parsed; `undefined` if there was none. */
  readonly body: unknown;
}

/** What is answered: a status and a body to be sent as JSON, or as it is if it is text. */
interface Answered {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers by itself, or returns what to answer. */
export type Handler = (
  seen: Seen,
  response: ServerResponse,
) => Answered | undefined | Promise<Answered | undefined>;

export interface StandIn {
  readonly baseUrl: string;
  readonly seen: Seen[];
  /** What the next requests get in place of the usual answer, one after another. */
  readonly next: Handler[];
  /** `GET /path`, one of each request so far; forgets them. */
  calls(): string[];
  /** As new, for the next test. */
  reset(): void;
  close(): Promise<void>;
}

/** A server on loopback that notes what it is sent. */
export async function standIn(handle: Handler): Promise<StandIn> {
  const seen: Seen[] = [];
  const next: Handler[] = [];
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url ?? "", "http://localhost");
    const raw = await text(request);
    const one: Seen = {
      method: request.method ?? "",
      path: url.pathname.replace(/^\/api\/v1/, ""),
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: raw === "" ? undefined : JSON.parse(raw),
    };
    seen.push(one);
    const handler = next.shift() ?? handle;
    const answer = await (async () => handler(one, response))().catch(
      (error): Answered => ({ status: 500, body: `The stand-in failed: ${error}` }),
    );
    if (!answer || response.destroyed) return;
    const { status, body, headers = {} } = answer;
    const type = typeof body === "string" ? "text/html; charset=utf-8" : "application/json";
    response.writeHead(status, { ...(body !== undefined && { "content-type": type }), ...headers });
    response.end(body === undefined || typeof body === "string" ? body : JSON.stringify(body));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`,
    seen,
    next,
    reset() {
      seen.length = 0;
      next.length = 0;
    },
    calls: () => seen.splice(0).map(({ method, path }) => `${method} ${path}`),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export interface TolokaMock extends StandIn {
  /** The account, by id. */
  readonly account: Map<string, Record<string, string>>;
  /** What the account's subscriptions are signed with, by id: never shown. */
  readonly secrets: Map<string, string | undefined>;
  /** Puts a subscription into the account, and gives its id. */
  add(form: Record<string, string>): string;
  /** The requests that do not fit the OpenAPI file. */
  readonly misfits: unknown[];
}

const FORM = "WebhookSubscriptionFormV1";

/** Toloka's OpenAPI file, with what it is known to be loose about put right. */
async function tolokaDefinition(): Promise<Document> {
  const definition = fileURLToPath(new URL("toloka-openapi.yaml", import.meta.url));
  const document = await new OpenAPIBackend({ definition }).loadDocument();
  const body = document.paths?.["/webhook-subscriptions"]?.put?.requestBody;
  const content = body && "content" in body ? body.content["application/json"] : undefined;
  const form = { $ref: `#/components/schemas/${FORM}` };
  // The file's own description: "Known to be loose: the PUT body may also be an array."
  if (content) content.schema = { oneOf: [form, { type: "array", items: form }] };
  return document;
}

/** Toloka, from its OpenAPI file: every request is checked against it, and an account is kept. */
export async function tolokaMock(key = "ApiKey test-key"): Promise<TolokaMock> {
  const account = new Map<string, Record<string, string>>();
  const secrets = new Map<string, string | undefined>();
  const misfits: unknown[] = [];
  let count = 0;

  const refused = (status: number, code: string, message: string): Answered => ({
    status,
    body: { request_id: "request-1", code, message },
  });
  const missing = () => refused(404, "DOES_NOT_EXIST", "No such subscription.");
  const upsert = ({ secret_key, ...form }: Record<string, string>) => {
    const known = [...account.values()].find((view) => Object.entries(form).every(([k, v]) => view[k] === v));
    const id = known?.id ?? `sub-${String(++count).padStart(4, "0")}`;
    if (!known) account.set(id, { ...form, id, created: "2020-02-14T12:22:58" });
    secrets.set(id, secret_key);
    return { status: known ? 200 : 201, body: account.get(id) as Record<string, string> };
  };

  const api = new OpenAPIBackend({
    definition: await tolokaDefinition(),
    apiRoot: "/api/v1",
    ajvOpts: { strict: false, formats: { "date-time": true } },
    handlers: {
      notFound: () => refused(404, "NOT_FOUND", "No such path."),
      validationFail: ({ validation, request }: Context) => {
        misfits.push({ request: `${request.method} ${request.path}`, errors: validation.errors });
        return refused(400, "VALIDATION_ERROR", "The request does not fit the OpenAPI file.");
      },
      createSubscriptions: ({ request }: Context): Answered => {
        if (!Array.isArray(request.requestBody)) return upsert(request.requestBody);
        const items: Record<string, unknown> = {};
        const validation_errors: Record<string, unknown> = {};
        for (const [index, form] of request.requestBody.entries()) {
          if (form.pool_id === "closed") {
            const message = `Pool is archived, secret ${form.secret_key}`;
            validation_errors[index] = { pool_id: { code: "POOL_ARCHIVED", message } };
          } else items[index] = upsert(form).body;
        }
        return { status: 200, body: { items, validation_errors } };
      },
      getWebhookSubscriptions: ({ request }: Context): Answered => {
        const { limit = 50, id_gt = "", event_type, pool_id } = request.query as Record<string, string>;
        const found = [...account.values()]
          .filter((view) => `${view.id}` > id_gt)
          .filter((view) => event_type === undefined || view.event_type === event_type)
          .filter((view) => pool_id === undefined || view.pool_id === pool_id)
          .sort((a, b) => `${a.id}`.localeCompare(`${b.id}`));
        // Pages of two, so that few subscriptions are many pages.
        const size = Math.min(2, Number(limit));
        return { status: 200, body: { items: found.slice(0, size), has_more: found.length > size } };
      },
      getSubscription: ({ request }: Context): Answered => {
        const view = account.get(String(request.params.id));
        return view ? { status: 200, body: view } : missing();
      },
      deleteSubscription: ({ request }: Context): Answered =>
        account.delete(String(request.params.id)) ? { status: 204 } : missing(),
      sendTestWebhook: ({ request }: Context): Answered => {
        if (!account.has(String(request.params.id))) return missing();
        const body = {
          success: false,
          responseReceivedAt: "2022-02-14T12:22:58",
          errorType: "WRONG_STATUS_CODE",
          originalStatusCode: 404,
          uuids: ["uuid-1"],
        };
        return { status: 201, body };
      },
    },
  });
  await api.init();

  const server = await standIn(async ({ method, path, query, headers, body }) => {
    if (headers.authorization !== key) return refused(401, "AUTHENTICATION_FAILED", "Who are you?");
    const request = {
      method,
      path: `/api/v1${path}`,
      query,
      headers: headers as Record<string, string>,
      body,
    };
    return (await api.handleRequest(request)) as Answered;
  });
  return {
    ...server,
    account,
    secrets,
    misfits,
    add: (form) => upsert(form).body.id as string,
    reset() {
      server.reset();
      account.clear();
      secrets.clear();
      misfits.length = 0;
      count = 0;
    },
  };
}

export interface ProlificStandIn extends StandIn {
  /** The workspace's subscriptions, by id. */
  readonly account: Map<string, Record<string, unknown>>;
  /** Those that were confirmed. */
  readonly confirmed: Set<string>;
  add(form: { event_type: string; target_url: string; is_enabled?: boolean }): string;
}

/** The `X-Hook-Secret` of a subscription. */
export const hookSecretOf = (id: string) => `hook-secret-of-${id}`;

/** Prolific, from its API reference: a workspace, in which one may subscribe twice to the same. */
export async function prolificStandIn(
  workspaceId: string,
  token = "Token test-token",
): Promise<ProlificStandIn> {
  const account = new Map<string, Record<string, unknown>>();
  const confirmed = new Set<string>();
  let count = 0;
  const refused = (status: number, title: string, detail: unknown): Answered => ({
    status,
    body: { error: { status, error_code: 140_000 + status, title, detail } },
  });
  const add: ProlificStandIn["add"] = (form) => {
    const id = `hook-${String(++count).padStart(4, "0")}`;
    account.set(id, { is_enabled: true, ...form, id, workspace_id: workspaceId });
    return id;
  };
  const page = (
    all: readonly object[],
    { limit = "20", offset = "0" }: Record<string, string>,
  ): Answered => ({
    status: 200,
    // No more than two, however many are asked for.
    body: { results: all.slice(Number(offset), Number(offset) + Math.min(2, Number(limit))) },
  });
  const server = await standIn(({ method, path, query, headers, body: sent }) => {
    if (headers.authorization !== token) return refused(401, "Unauthorised", "Invalid token.");
    const body = (sent ?? {}) as Record<string, unknown>;
    const call = `${method} ${path}`;
    if ((query.workspace_id ?? body.workspace_id ?? workspaceId) !== workspaceId) {
      return refused(400, "Validation error", { workspace_id: ["No such workspace."] });
    }
    switch (call) {
      case "GET /hooks/event-types/":
        return { status: 200, body: [{ event_type: "study.status.change", description: "A new status." }] };
      case "GET /hooks/secrets/":
        return { status: 200, body: { results: [{ id: "s1", value: "old", workspace_id: workspaceId }] } };
      case "POST /hooks/secrets/":
        return { status: 201, body: { id: "s2", value: "new", workspace_id: workspaceId } };
      case "GET /hooks/subscriptions": {
        const enabled = query.is_enabled;
        const all = [...account.values()].filter((each) => !enabled || String(each.is_enabled) === enabled);
        return page(all, query);
      }
      case "POST /hooks/subscriptions/": {
        const { event_type, target_url, is_enabled } = body as Record<string, string>;
        const id = add({
          event_type: `${event_type}`,
          target_url: `${target_url}`,
          ...(is_enabled !== undefined && { is_enabled: Boolean(is_enabled) }),
        });
        return { status: 201, body: account.get(id), headers: { "X-Hook-Secret": hookSecretOf(id) } };
      }
    }
    const [, id = "", rest] = /^\/hooks\/subscriptions\/([\w-]+)\/(events\/)?$/.exec(path) ?? [];
    const one = account.get(id);
    if (!one) return refused(404, "Not found", "No such thing.");
    if (rest) {
      const event = {
        datetime_created: "2024-01-01T00:00:00Z",
        datetime_updated: "2024-01-01T00:00:00Z",
        event_type: one.event_type,
        resource_id: "submission-1",
        status: query.status ?? "SUCCEEDED",
        target_url: one.target_url,
      };
      return page(
        ["e1", "e2", "e3"].map((id) => ({ id, ...event })),
        query,
      );
    }
    switch (method) {
      case "GET":
        return { status: 200, body: one };
      case "PATCH":
        return { status: 200, body: Object.assign(one, body) };
      case "DELETE":
        account.delete(id);
        return { status: 204 };
      case "POST":
        if (body.secret !== hookSecretOf(id)) return refused(400, "Bad secret", `${body.secret} is not it.`);
        confirmed.add(id);
        return { status: 200, body: one };
      default:
        return refused(405, "Method not allowed", undefined);
    }
  });
  return {
    ...server,
    account,
    confirmed,
    add,
    reset() {
      server.reset();
      account.clear();
      confirmed.clear();
      count = 0;
    },
  };
}

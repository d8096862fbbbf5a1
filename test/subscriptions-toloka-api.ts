import { fileURLToPath } from "node:url";
import { type Context, type Document, OpenAPIBackend } from "openapi-backend";
import { type ApiResponse, type ApiServer, startApiServer } from "./subscriptions-server.js";

export interface TolokaApi extends ApiServer {
  /** The account's subscriptions by id. */
  readonly subscriptions: Map<string, Record<string, string>>;
  /** The secrets of the subscriptions by id. No response contains them. */
  readonly secrets: Map<string, string | undefined>;
  /** The account's assignments, with the time of each transition, and its pools by id. */
  readonly assignments: Record<string, string>[];
  readonly pools: Map<string, Record<string, string>>;
  /** The largest page of a search for assignments, whatever `limit` asks for. */
  pageSize: number;
  /** Adds a subscription to the account and returns its id. */
  add(form: Record<string, string>): string;
  /** The requests that violate the OpenAPI file. */
  readonly invalidRequests: unknown[];
}

/** Starts Toloka's API from its OpenAPI file, with an account in memory. */
export async function startTolokaApi(key = "ApiKey test-key"): Promise<TolokaApi> {
  const account = createAccount();
  const invalidRequests: unknown[] = [];
  const work = {
    assignments: [] as Record<string, string>[],
    pools: new Map<string, Record<string, string>>(),
  };
  let pageSize = 1_000;
  const api = new OpenAPIBackend({
    definition: await loadDefinition(),
    apiRoot: "/api/v1",
    ajvOpts: { strict: false, formats: { "date-time": true } },
    handlers: {
      notFound: () => refused(404, "NOT_FOUND", "No such path."),
      validationFail: ({ validation, request }: Context) => {
        invalidRequests.push({ request: `${request.method} ${request.path}`, errors: validation.errors });
        return refused(400, "VALIDATION_ERROR", "The request does not fit the OpenAPI file.");
      },
      ...handlersOf(account),
    },
  });
  await api.init();

  const server = await startApiServer(async ({ method, path, query, headers, body }) => {
    if (headers.authorization !== key) return refused(401, "AUTHENTICATION_FAILED", "Unknown key.");
    // The OpenAPI file has only the webhook subscriptions.
    if (path === "/assignments") return searchAssignments(work.assignments, query, pageSize);
    const [, poolId] = /^\/pools\/(\w+)$/.exec(path) ?? [];
    if (poolId !== undefined) {
      const pool = work.pools.get(poolId);
      return pool ? { status: 200, body: pool } : refused(404, "DOES_NOT_EXIST", "No such pool.");
    }
    const request = {
      method,
      path: `/api/v1${path}`,
      query,
      headers: headers as Record<string, string>,
      body,
    };
    return (await api.handleRequest(request)) as ApiResponse;
  });
  return {
    ...server,
    subscriptions: account.subscriptions,
    secrets: account.secrets,
    invalidRequests,
    ...work,
    get pageSize() {
      return pageSize;
    },
    set pageSize(size) {
      pageSize = size;
    },
    add: (form) => account.upsert(form).body.id as string,
    reset() {
      server.reset();
      account.clear();
      work.assignments.length = 0;
      work.pools.clear();
      pageSize = 1_000;
      invalidRequests.length = 0;
    },
  };
}

const RANGES: Record<string, (a: string, b: string) => boolean> = {
  gt: (a, b) => a > b,
  gte: (a, b) => a >= b,
  lt: (a, b) => a < b,
  lte: (a, b) => a <= b,
};

/** Searches as Toloka's Python SDK does. Refuses what that SDK cannot ask for. */
function searchAssignments(
  all: readonly Record<string, string>[],
  { pool_id, sort = "id", limit = "50", ...ranges }: Record<string, string>,
  pageSize: number,
): ApiResponse {
  let found = all.filter((each) => each.pool_id === pool_id);
  for (const [name, value] of Object.entries(ranges)) {
    const [, field = "", range = ""] =
      /^(id|created|submitted|accepted|rejected|skipped|expired)_(gte?|lte?)$/.exec(name) ?? [];
    const isInRange = RANGES[range];
    if (isInRange === undefined) return refused(400, "VALIDATION_ERROR", `There is no ${name}.`);
    // Times may differ in their digits after the second.
    const comparable = (text: string) =>
      field === "id" ? text : text.padEnd(19, "0").padEnd(20, ".").padEnd(23, "0");
    found = found.filter(
      (each) => each[field] !== undefined && isInRange(comparable(each[field]), comparable(value)),
    );
  }
  // Items of the same time have no order. Here it differs from the order of the ids.
  found = found
    .reverse()
    .sort((a, b) => (`${a[sort]}` < `${b[sort]}` ? -1 : `${a[sort]}` > `${b[sort]}` ? 1 : 0));
  const size = Math.min(pageSize, Number(limit));
  return { status: 200, body: { items: found.slice(0, size), has_more: found.length > size } };
}

function refused(status: number, code: string, message: string): ApiResponse {
  return { status, body: { request_id: "request-1", code, message } };
}

/** Returns Toloka's OpenAPI file, corrected where its own description says that it is loose. */
async function loadDefinition(): Promise<Document> {
  const definition = fileURLToPath(new URL("toloka-openapi.yaml", import.meta.url));
  const document = await new OpenAPIBackend({ definition }).loadDocument();
  const body = document.paths?.["/webhook-subscriptions"]?.put?.requestBody;
  const content = body && "content" in body ? body.content["application/json"] : undefined;
  const form = { $ref: "#/components/schemas/WebhookSubscriptionFormV1" };
  // The description says: "Known to be loose: the PUT body may also be an array."
  if (content) content.schema = { oneOf: [form, { type: "array", items: form }] };
  return document;
}

type Account = ReturnType<typeof createAccount>;

function createAccount() {
  const subscriptions = new Map<string, Record<string, string>>();
  const secrets = new Map<string, string | undefined>();
  let count = 0;
  return {
    subscriptions,
    secrets,
    upsert({ secret_key, ...form }: Record<string, string>) {
      const known = [...subscriptions.values()].find((view) =>
        Object.entries(form).every(([field, value]) => view[field] === value),
      );
      const id = known?.id ?? `sub-${String(++count).padStart(4, "0")}`;
      if (!known) subscriptions.set(id, { ...form, id, created: "2020-02-14T12:22:58" });
      secrets.set(id, secret_key);
      return { status: known ? 200 : 201, body: subscriptions.get(id) as Record<string, string> };
    },
    clear() {
      subscriptions.clear();
      secrets.clear();
      count = 0;
    },
  };
}

/** Returns the handlers of the operations in the OpenAPI file. */
function handlersOf({ subscriptions, upsert }: Account) {
  const missing = () => refused(404, "DOES_NOT_EXIST", "No such subscription.");
  return {
    createSubscriptions({ request }: Context): ApiResponse {
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
    getWebhookSubscriptions({ request }: Context): ApiResponse {
      const { limit = 50, id_gt = "", event_type, pool_id } = request.query as Record<string, string>;
      const found = [...subscriptions.values()]
        .filter((view) => `${view.id}` > id_gt)
        .filter((view) => event_type === undefined || view.event_type === event_type)
        .filter((view) => pool_id === undefined || view.pool_id === pool_id)
        .sort((a, b) => `${a.id}`.localeCompare(`${b.id}`));
      // Two per page, so that few subscriptions fill several pages.
      const size = Math.min(2, Number(limit));
      return { status: 200, body: { items: found.slice(0, size), has_more: found.length > size } };
    },
    getSubscription({ request }: Context): ApiResponse {
      const view = subscriptions.get(String(request.params.id));
      return view ? { status: 200, body: view } : missing();
    },
    deleteSubscription({ request }: Context): ApiResponse {
      return subscriptions.delete(String(request.params.id)) ? { status: 204 } : missing();
    },
    sendTestWebhook({ request }: Context): ApiResponse {
      if (!subscriptions.has(String(request.params.id))) return missing();
      const body = {
        success: false,
        responseReceivedAt: "2022-02-14T12:22:58",
        errorType: "WRONG_STATUS_CODE",
        originalStatusCode: 404,
        uuids: ["uuid-1"],
      };
      return { status: 201, body };
    },
  };
}

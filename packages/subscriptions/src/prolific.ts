import type { ProlificEventType } from "@crowdhook/core/prolific";
import * as z from "zod/mini";
import { SubscriptionError } from "./errors.js";
import { type Call, createHttp, type ErrorReader, isObject } from "./http.js";
import {
  type ClientOptions,
  checkClientOptions,
  checkId,
  checkKey,
  checkSecret,
  checkTarget,
  checkText,
} from "./options.js";
import { all, type Comparison, firstById, keyOf, planOf, type SyncOptions, type SyncPlan } from "./sync.js";

export interface ProlificSubscriptionsOptions extends ClientOptions {
  /** The account's API token, sent as `Authorization: Token …`. */
  readonly token: string | undefined;
  /** Subscriptions and secrets belong to a workspace. */
  readonly workspaceId: string | undefined;
}

/** What a subscription is made of. Source, here and below: Prolific's API reference. */
export interface ProlificSubscriptionForm {
  /** The set is open: `eventTypes()` lists it. */
  readonly event_type: ProlificEventType | (string & {});
  /** https, and in reach of Prolific. */
  readonly target_url: string;
  /** Default: as Prolific sees fit, which is enabled. */
  readonly is_enabled?: boolean | undefined;
}

/** One event type, one URL. Whether it was confirmed is not shown. */
export interface ProlificSubscription {
  id: string;
  event_type: string;
  target_url: string;
  is_enabled: boolean;
  workspace_id: string;
  /** Fields that are newer than this release are kept. */
  [field: string]: unknown;
}

/** What deliveries are signed with. A workspace has one that is active. */
export interface ProlificSecret {
  value: string;
  /** Fields beside it are kept. */
  [field: string]: unknown;
}

/** One event that a subscription was sent, or is still to be. */
export interface ProlificSubscriptionEvent {
  id: string;
  datetime_created: string;
  datetime_updated: string;
  event_type: string;
  /** The submission or study that it is about. */
  resource_id: string;
  /** How its delivery stands. The set is open. */
  status: string;
  target_url: string;
  [field: string]: unknown;
}

/** Hook subscriptions of a Prolific workspace. Every method rejects with a `SubscriptionError`. */
export interface ProlificSubscriptions {
  /** What can be subscribed to. */
  eventTypes(): Promise<{ event_type: string; description: string }[]>;
  /** The workspace's secrets, in the clear. */
  secrets(): Promise<ProlificSecret[]>;
  /**
   * Creates a secret **in place of the old one**: from then on deliveries are signed with the new one, so
   * receivers need both before, or they refuse what comes. Not repeated if it fails.
   */
  createSecret(): Promise<ProlificSecret>;
  /**
   * Creates a subscription and confirms it, without which nothing is delivered. Prolific does not mind a
   * second one for the same type and URL, so creating is not repeated unless it is certain that
   * nothing was done. `sync` looks first.
   *
   * @throws TypeError, here and below, for a form or an id that cannot work.
   * @throws SubscriptionError also if it was created and not confirmed: then `subscriptionId` names it.
   * Delete it, and subscribe again: the secret to confirm it with is shown only once.
   */
  subscribe(form: ProlificSubscriptionForm): Promise<ProlificSubscription>;
  /** Confirms a subscription. `secret` is the `X-Hook-Secret` that the answer to its creation had. */
  confirm(id: string, secret: string): Promise<ProlificSubscription>;
  /** All subscriptions of the workspace; the next page is asked for when it is needed. */
  list(query?: { readonly is_enabled?: boolean | undefined }): AsyncIterable<ProlificSubscription>;
  get(id: string): Promise<ProlificSubscription>;
  enable(id: string): Promise<ProlificSubscription>;
  disable(id: string): Promise<ProlificSubscription>;
  /** False if there is none; with `mustExist` that is an error. */
  delete(id: string, options?: { readonly mustExist?: boolean | undefined }): Promise<boolean>;
  /** The events of a subscription; the next page is asked for when it is needed. */
  events(
    id: string,
    query?: { readonly status?: string | undefined },
  ): AsyncIterable<ProlificSubscriptionEvent>;
  /**
   * Subscribes to what is desired and missing. Subscriptions are the same if type and URL are. Safe at
   * every start: if all are there, it only lists. One that is disabled is kept as it is, and the plan
   * says so.
   *
   * Two processes that start at once can both create. So it looks again after creating: what is there
   * twice is then extra, and deleted only with `deleteExtra`. All processes keep the same one: enabled
   * before disabled, then the one whose id comes first.
   */
  sync(
    desired: readonly ProlificSubscriptionForm[],
    options?: SyncOptions<ProlificSubscription>,
  ): Promise<SyncPlan<ProlificSubscriptionForm, ProlificSubscription>>;
}

const PRODUCTION = "https://api.prolific.com/api/v1";
const HOOKS = "/hooks/subscriptions";
/** How many one call asks for. How many Prolific gives at most is not documented. */
const PAGE_SIZE = 100;

const text = z.string();
const VIEW = z.looseObject({
  id: text,
  event_type: text,
  target_url: text,
  is_enabled: z.boolean(),
  workspace_id: text,
});
const SECRET = z.looseObject({ value: text });
const EVENT_TYPE = z.looseObject({ event_type: text, description: text });
const EVENT = z.looseObject({
  id: text,
  datetime_created: text,
  datetime_updated: text,
  event_type: text,
  resource_id: text,
  status: text,
  target_url: text,
});
const META = z.nullish(z.looseObject({ count: z.nullish(z.number()) }));

const COMPARISON: Comparison<ProlificSubscriptionForm, ProlificSubscription> = {
  wordsOf: ({ target_url, event_type }) => [target_url, event_type],
  prefer: (a, b) => (a.is_enabled === b.is_enabled ? firstById(a, b) : a.is_enabled ? a : b),
  note: ({ is_enabled, id }) => (is_enabled ? "" : ` (disabled: nothing is delivered until enable("${id}"))`),
};

/**
 * A client for the hook subscriptions of a Prolific workspace. Nothing is sent before it is used.
 *
 * Calls that say 429 are repeated. So are, after 5xx, a time-out or a lost connection, all but those that
 * create a subscription or a secret.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createProlificSubscriptions(options: ProlificSubscriptionsOptions): ProlificSubscriptions {
  const { token, workspaceId, baseUrl = PRODUCTION } = options;
  checkClientOptions(options);
  checkKey("token", token, "PROLIFIC_TOKEN");
  const workspace_id = checkId("workspaceId", workspaceId);
  const http = createHttp({
    ...options,
    platform: "prolific",
    baseUrl,
    authorization: `Token ${token}`,
    secret: token ?? "",
    readError,
  });
  const one = (id: string) => `${HOOKS}/${checkId("id", id)}/`;

  /** Lists are documented as `{"results": […]}`; the one of event types also as an array. */
  const unwrap = (body: unknown) => (Array.isArray(body) ? { results: body } : body);

  async function results<T>(call: Call, schema: z.ZodMiniType<T>): Promise<T[]> {
    return (await http.ask(call, z.looseObject({ results: z.array(schema) }), unwrap)).results;
  }

  async function* pages<T extends { id: string }>(
    path: string,
    query: Call["query"],
    schema: z.ZodMiniType<T>,
  ): AsyncGenerator<T, void> {
    const page = z.looseObject({ results: z.array(schema), meta: META });
    const seen = new Set<string>();
    let offset = 0;
    for (;;) {
      const call: Call = {
        method: "GET",
        path,
        query: { ...query, limit: PAGE_SIZE, offset },
        repeatable: true,
      };
      const { results, meta } = await http.ask(call, page, unwrap);
      const before = seen.size;
      for (const item of results) {
        if (seen.has(item.id)) continue;
        seen.add(item.id);
        yield item;
      }
      offset += results.length;
      // A short page may be one that Prolific keeps shorter than asked; only one without news is the last.
      if (seen.size === before || offset >= (meta?.count ?? Number.POSITIVE_INFINITY)) return;
    }
  }

  const list = (query: { readonly is_enabled?: boolean | undefined } = {}) =>
    // Without the slash at its end, unlike the others.
    pages<ProlificSubscription>(HOOKS, { workspace_id, is_enabled: query.is_enabled }, VIEW);

  async function subscribe(form: ProlificSubscriptionForm): Promise<ProlificSubscription> {
    checkForm(form, "");
    const { event_type, target_url, is_enabled } = form;
    const json = { workspace_id, event_type, target_url, is_enabled };
    const call: Call = { method: "POST", path: `${HOOKS}/`, json, repeatable: false };
    const answer = await http.send(call);
    const { id } = http.read(call, answer, VIEW);
    const secret = answer.header("x-hook-secret");
    if (!secret) {
      throw unconfirmed(
        id,
        http.malformed(call, "X-Hook-Secret: expected a header, to confirm with", answer.status),
      );
    }
    return confirm(id, secret).catch((error) => {
      throw error instanceof SubscriptionError ? unconfirmed(id, error) : error;
    });
  }

  async function confirm(id: string, secret: string): Promise<ProlificSubscription> {
    checkSecret("secret", secret);
    // With the same secret as before it can only be confirmed again.
    const call: Call = {
      method: "POST",
      path: one(id),
      json: { secret },
      repeatable: true,
      secrets: [secret],
    };
    return http.ask(call, VIEW);
  }

  function setEnabled(id: string, is_enabled: boolean): Promise<ProlificSubscription> {
    return http.ask({ method: "PATCH", path: one(id), json: { is_enabled }, repeatable: true }, VIEW);
  }

  async function remove(id: string, { mustExist = false }: { mustExist?: boolean | undefined } = {}) {
    const call: Call = { method: "DELETE", path: one(id), repeatable: true, mayBeMissing: true };
    const answer = await http.send(call);
    // After an attempt without an answer, that may have been the one that deleted it.
    if (answer.status !== 404 || answer.uncertain) return true;
    if (mustExist) throw http.errorOf(call, answer);
    return false;
  }

  /** Creates what is missing, and looks again. */
  async function createAll(
    desired: readonly ProlificSubscriptionForm[],
    create: readonly ProlificSubscriptionForm[],
    options: SyncOptions<ProlificSubscription>,
  ) {
    const ids = new Set<string>();
    const failures = new Map<string, SubscriptionError>();
    for (const form of create) {
      try {
        ids.add((await subscribe(form)).id);
      } catch (error) {
        // Another process that deletes what is extra can have taken it for a duplicate of its own.
        if (!(error instanceof SubscriptionError && error.status === 404)) throw error;
        failures.set(keyOf(COMPARISON.wordsOf(form)), error);
      }
    }
    const plan = planOf(desired, await all(list()), options, COMPARISON, { create, ids });
    for (const kept of plan.keep) failures.delete(keyOf(COMPARISON.wordsOf(kept)));
    for (const error of failures.values()) throw error;
    return plan;
  }

  return {
    eventTypes: () => results({ method: "GET", path: "/hooks/event-types/", repeatable: true }, EVENT_TYPE),
    secrets: () =>
      results({ method: "GET", path: "/hooks/secrets/", query: { workspace_id }, repeatable: true }, SECRET),
    createSecret: () =>
      http.ask(
        { method: "POST", path: "/hooks/secrets/", json: { workspace_id }, repeatable: false },
        SECRET,
      ),
    subscribe,
    confirm,
    list,
    get: async (id) => http.ask({ method: "GET", path: one(id), repeatable: true }, VIEW),
    enable: async (id) => setEnabled(id, true),
    disable: async (id) => setEnabled(id, false),
    delete: remove,
    events: (id, { status } = {}) => pages<ProlificSubscriptionEvent>(`${one(id)}events/`, { status }, EVENT),
    async sync(desired, options = {}) {
      if (!Array.isArray(desired)) throw new TypeError("Pass a list of forms.");
      for (const [index, form] of desired.entries()) checkForm(form, `[${index}].`);
      const found = planOf(desired, await all(list()), options, COMPARISON);
      if (options.dryRun) return found;
      const { create } = found;
      const plan = create.length === 0 ? found : await createAll(desired, create, options);
      if (options.deleteExtra) for (const { id } of plan.extra) await remove(id);
      return plan;
    },
  };
}

function checkForm(form: ProlificSubscriptionForm, where: string): void {
  if (typeof form !== "object" || form === null) throw new TypeError("A form must be an object.");
  checkText(`${where}event_type`, form.event_type);
  checkTarget(`${where}target_url`, form.target_url, true);
}

function unconfirmed(id: string, { message, platform, status, code, payload }: SubscriptionError) {
  return new SubscriptionError(
    `Subscription ${id} exists, but is unconfirmed, so that nothing is delivered: delete it, and subscribe again. ${message}`,
    { platform, status, code, payload, subscriptionId: id },
  );
}

/**
 * Undocumented. Prolific's own command line client reads `{"error": {"error_code", "title", "detail"}}`
 * and `{"message", "detail"}`.
 */
const readError: ErrorReader = (body) => {
  const { error_code, title, message, detail } = isObject(body.error) ? body.error : body;
  const said = [title ?? message, detail].flatMap((part) =>
    part === undefined || part === null ? [] : typeof part === "string" ? part : JSON.stringify(part),
  );
  return {
    code: typeof error_code === "number" || typeof error_code === "string" ? String(error_code) : undefined,
    message: said.join(": ") || undefined,
    payload: body,
  };
};

import { isObject } from "@crowdhook/core/internal";
import * as z from "zod/mini";
import type { ErrorReader } from "../http/failures.js";

const text = z.string();

export const SUBSCRIPTION = z.looseObject({
  id: text,
  event_type: text,
  target_url: text,
  is_enabled: z.boolean(),
  workspace_id: text,
});

export const SECRET = z.looseObject({ value: text });

export const EVENT_TYPE = z.looseObject({ event_type: text, description: text });

export const SUBSCRIPTION_EVENT = z.looseObject({
  id: text,
  datetime_created: text,
  datetime_updated: text,
  event_type: text,
  resource_id: text,
  status: text,
  target_url: text,
});

export const PAGE_META = z.nullish(z.looseObject({ count: z.nullish(z.number()) }));

/** Prolific documents lists as `{"results": […]}`, and the list of event types also as an array. */
export function unwrapList(body: unknown): unknown {
  return Array.isArray(body) ? { results: body } : body;
}

/** Prolific documents one subscription as itself, and in the response to its creation also as `{"results": [one]}`. */
export function unwrapOne(body: unknown): unknown {
  const results = isObject(body) ? body.results : undefined;
  return Array.isArray(results) && results.length === 1 ? results[0] : body;
}

/**
 * Error bodies are undocumented. Prolific's own command line client reads
 * `{"error": {"error_code", "title", "detail"}}` and `{"message", "detail"}`.
 */
export const readProlificError: ErrorReader = (body) => {
  const { error_code, title, message, detail } = isObject(body.error) ? body.error : body;
  const sentences = [title ?? message, detail].flatMap((part) =>
    part === undefined || part === null ? [] : typeof part === "string" ? part : JSON.stringify(part),
  );
  return {
    code: typeof error_code === "number" || typeof error_code === "string" ? String(error_code) : undefined,
    message: sentences.join(": ") || undefined,
    payload: body,
  };
};

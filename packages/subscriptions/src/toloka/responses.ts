import { parseTolokaTime } from "@crowdhook/core/toloka";
import * as z from "zod/mini";
import type { ErrorReader } from "../http/failures.js";
import type { TolokaSubscription, TolokaTestResult } from "./subscriptions.js";

const text = z.string();
const time = z.string().check(z.refine((value) => parseTolokaTime(value) !== undefined, "expected ISO 8601"));

export const SUBSCRIPTION = z.looseObject({
  id: text,
  webhook_url: text,
  event_type: text,
  pool_id: text,
  created: time,
});

export const SUBSCRIPTION_PAGE = z.looseObject({ items: z.array(SUBSCRIPTION), has_more: z.boolean() });

const step = z.nullish(time);

/** An assignment, with the time of each transition that it made. Source: Toloka's Python SDK. */
export const ASSIGNMENT = z.looseObject({
  id: text,
  task_suite_id: text,
  pool_id: text,
  created: step,
  submitted: step,
  accepted: step,
  rejected: step,
  skipped: step,
  expired: step,
});

export const ASSIGNMENT_PAGE = z.looseObject({ items: z.array(ASSIGNMENT), has_more: z.boolean() });

/** A pool, as far as recovery reads it. Source: Toloka's Python SDK. */
export const POOL = z.looseObject({
  id: text,
  project_id: text,
  status: text,
  last_close_reason: z.nullish(text),
  last_stopped: step,
});

const FIELD_ERROR = z.looseObject({ code: z.optional(text), message: z.optional(text) });

/** The response to a PUT of many forms. The keys are the positions of the forms. */
export const CREATED_SUBSCRIPTIONS = z.looseObject({
  items: z.nullish(z.record(text, SUBSCRIPTION)),
  validation_errors: z.nullish(z.record(text, z.record(text, FIELD_ERROR))),
});

export const TEST_RESULT = z.looseObject({
  success: z.boolean(),
  responseReceivedAt: z.nullish(time),
  errorType: z.nullish(text),
  originalStatusCode: z.nullish(z.number()),
  uuids: z.nullish(z.array(text)),
});

export function subscriptionFrom(view: z.output<typeof SUBSCRIPTION>): TolokaSubscription {
  return { ...view, createdAt: parseTolokaTime(view.created) as Date };
}

export function testResultFrom(result: z.output<typeof TEST_RESULT>): TolokaTestResult {
  const { success, responseReceivedAt, errorType, originalStatusCode, uuids } = result;
  return {
    success,
    responseReceivedAt: responseReceivedAt ? parseTolokaTime(responseReceivedAt) : undefined,
    errorType: errorType ?? undefined,
    originalStatusCode: originalStatusCode ?? undefined,
    uuids: uuids ?? [],
  };
}

/** Source: Toloka's REST reference. */
export const readTolokaError: ErrorReader = ({ code, message, request_id, payload }) => ({
  code: nonEmptyText(code),
  message: nonEmptyText(message),
  requestId: nonEmptyText(request_id),
  payload,
});

function nonEmptyText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

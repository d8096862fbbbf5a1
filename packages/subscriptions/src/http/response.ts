import * as z from "zod/mini";
import type { ProviderName } from "../provider.js";
import type { ApiCall, ApiResponse } from "./call.js";
import { type FailingClient, malformed, notJson } from "./failures.js";

/** @throws SubscriptionError if the body is neither empty nor JSON. */
export async function readResponse(
  client: FailingClient,
  call: ApiCall,
  response: Response,
  afterUncertainAttempt: boolean,
): Promise<ApiResponse> {
  const { status, headers } = response;
  const text = await response.text();
  const header = (name: string) => headers.get(name);
  if (text.trim() === "") return { status, body: undefined, header, afterUncertainAttempt };
  try {
    return { status, body: JSON.parse(text), header, afterUncertainAttempt };
  } catch {
    throw notJson(client, call, response);
  }
}

/** @throws SubscriptionError if the body does not fit the schema. The message names the field. */
export function parseResponse<T>(
  provider: ProviderName,
  call: ApiCall,
  { status, body }: ApiResponse,
  schema: z.ZodMiniType<T>,
): T {
  const result = z.safeParse(schema, body);
  if (result.success) return result.data;
  throw malformed(provider, call, result.error.issues.slice(0, 3).map(describeIssue).join("; "), status);
}

/** Names the field and the expected type. The received value may be a secret and is left out. */
function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.join(".") || "the body";
  return `${path}: ${issue.code === "invalid_type" ? `expected ${issue.expected}` : issue.message}`;
}

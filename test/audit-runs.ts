import type http from "node:http";
import { type AuditReport, CHECKS, type Check, type CheckResult } from "@crowdhook/audit";
import type { TestContext } from "vitest";
import { type EndpointProvider, PlainEndpoint, SECRETS, serve } from "./plain-endpoint.js";
import { listen } from "./targets.js";

export const LONG = { timeout: 120_000 };
export const PROVIDERS = ["toloka", "prolific"] as const satisfies readonly EndpointProvider[];
export const secrets = [...SECRETS];

export type OnTestFinished = TestContext["onTestFinished"];

export function checksOf(provider: string): readonly Check[] {
  return CHECKS.filter(({ providers }) => providers.includes(provider));
}

/** Returns whether a check takes less than half a second. */
export function isQuick({ id, group }: Check): boolean {
  return group !== "size" && id !== "http-slow";
}

export function idsOf(checks: readonly Check[]): readonly string[] {
  return checks.map(({ id }) => id);
}

export function idsWith(
  status: CheckResult["status"],
  { results }: Pick<AuditReport, "results">,
): readonly string[] {
  return idsOf(results.filter((result) => result.status === status));
}

/** Returns whole results rather than ids, so that a failing test prints what was seen. */
export function notPassed({ results }: AuditReport): readonly CheckResult[] {
  return results.filter(({ status }) => status !== "passed");
}

/** Starts a correct endpoint, or an incorrect one after `change`. Returns options for `audit`. */
export async function startPlainEndpoint(
  onTestFinished: OnTestFinished,
  provider: EndpointProvider,
  change: (endpoint: PlainEndpoint) => unknown = () => {},
) {
  const endpoint = new PlainEndpoint(provider);
  const { close, ...urls } = await serve(endpoint);
  change(endpoint);
  onTestFinished(close);
  return { ...urls, provider, secrets };
}

/** Starts a server and returns its origin. */
export async function startServer(
  onTestFinished: OnTestFinished,
  handler: http.RequestListener,
): Promise<string> {
  const { origin, close } = await listen(handler);
  onTestFinished(close);
  return origin;
}

import { docsAddress } from "@crowdhook/core/internal";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import type { Session } from "./session.js";

/** The name of a provider of this release, such as `"toloka"`. */
export type ProviderName = string;

/**
 * MUST: a failure loses an event, accepts a forgery, handles an event twice, or harms the endpoint.
 * SHOULD: a failure misleads a provider or an operator, or the provider's documentation leaves the
 * matter open. MAY: good to know.
 */
export type Level = "MUST" | "SHOULD" | "MAY";

export const LEVELS = ["MUST", "SHOULD", "MAY"] as const satisfies readonly Level[];

/** One requirement that an endpoint meets or does not meet. */
export interface Check {
  /** Frozen: no other check ever gets this id, even after the check is removed. */
  readonly id: string;
  readonly group: string;
  /** The names of the providers to which the check applies. */
  readonly providers: readonly ProviderName[];
  readonly level: Level;
  /** The endpoint's duty, in one sentence. */
  readonly requirement: string;
  /** The consequence of a failure, or the reason for the requirement. */
  readonly reason: string;
  /** The document that supports the requirement. */
  readonly source: string;
  /** The address of the check in the documentation. */
  readonly page: string;
  /** The check is skipped without this. */
  readonly needs?: "report" | "two secrets";
}

/** A check with the code that runs it. */
export interface RunnableCheck extends Omit<Check, "providers" | "page"> {
  /** Returns whether the check applies to a provider. Default: it applies to every provider. */
  readonly appliesTo?: (sender: Sender) => boolean;
  /**
   * Resolves if the endpoint meets the requirement.
   *
   * @throws CheckFailed, CheckSkipped, or NoAnswer if the endpoint should have answered.
   */
  run(session: Session): Promise<unknown>;
}

export function appliesTo(check: RunnableCheck, sender: Sender): boolean {
  return check.appliesTo?.(sender) ?? true;
}

/** Returns the public description of a check. */
export function describeCheck(check: RunnableCheck): Check {
  const { run, appliesTo: _, id, group, ...rest } = check;
  const providers = SENDERS.filter((sender) => appliesTo(check, sender)).map(({ provider }) => provider.name);
  return { id, group, providers, ...rest, page: docsAddress("audit/checks", id) };
}

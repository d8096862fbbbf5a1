import type { ProviderName } from "./providers.js";
import type { Session } from "./session.js";

/**
 * MUST: otherwise an event is lost, a forgery accepted, something handled twice, or the endpoint harmed.
 * SHOULD: otherwise a provider or an operator is misled, or it is a matter that the provider's
 * documentation leaves open. MAY: good to know.
 */
export type Level = "MUST" | "SHOULD" | "MAY";

export const LEVELS = ["MUST", "SHOULD", "MAY"] as const satisfies readonly Level[];

/** One thing that holds for an endpoint or does not. */
export interface Check {
  /** Frozen: never given to another check, even after this one is gone. */
  readonly id: string;
  readonly group: string;
  readonly providers: readonly ProviderName[];
  readonly level: Level;
  /** What must hold, in a sentence. */
  readonly what: string;
  /** Why. */
  readonly reason: string;
  /** Where that is written. */
  readonly source: string;
  /** What it cannot be looked for without. */
  readonly needs?: "report" | "two secrets";
}

/** A check, and how it is made: resolves if it holds. */
export interface RunnableCheck extends Check {
  /** @throws Unmet, Unproven, or NoAnswer where an answer was due. */
  run(session: Session): Promise<unknown>;
}

/** It does not hold. */
export class Unmet extends Error {
  constructor(
    readonly expected: string,
    readonly seen: string,
  ) {
    super(`expected ${expected}, seen ${seen}`);
  }
}

/** Whether it holds could not be found out. The message says why. */
export class Unproven extends Error {}

export const BOTH: readonly ProviderName[] = ["toloka", "prolific"];
export const TOLOKA: readonly ProviderName[] = ["toloka"];
export const PROLIFIC: readonly ProviderName[] = ["prolific"];

import type { Provider, Reply } from "@crowdhook/core";
import type { Inspection, Mistake } from "@crowdhook/core/inspect";
import type { HeaderLines } from "@crowdhook/core/testing";
import { capitalized } from "../output.js";
import type { Forwarded } from "./forward.js";

/** A request that has its answer, and everything that there is to report about it. */
export interface HandledRequest {
  readonly receivedAt: Date;
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderLines;
  bytes?: number;
  /** `undefined` if it could not be read. */
  body?: Uint8Array;
  provider?: Provider | undefined;
  /** The number of this provider's secrets. */
  secrets: number;
  inspection?: Inspection;
  /** The mistakes that were found. */
  mistakes?: readonly Mistake[];
  /** The code of the reply if the body could not be read. */
  unread?: string;
  reply?: Reply;
  forwarded?: Forwarded;
  file?: string;
  /** Why the delivery was not saved. */
  notSaved?: string;
  /** Why there is no inspection, or no search for mistakes. */
  notInspected?: string;
}

/** Returns the name under which the summary counts a request. */
export function verdictOf({ inspection, secrets, unread }: HandledRequest): string {
  if (!inspection) return unread ?? "not read";
  return inspection.code ?? (secrets > 0 ? "genuine" : "not verified");
}

/** Returns a mistake and its fix as two sentences. The first one begins in lower case, as a reason does. */
export function sentencesOf({ mistake, fix }: Pick<Mistake, "mistake" | "fix">): string {
  return `${mistake}. ${capitalized(fix)}${fix.endsWith("?") ? "" : "."}`;
}

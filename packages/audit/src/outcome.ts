/** How a check ended. */
export type Outcome =
  | { readonly status: "passed" }
  | {
      readonly status: "failed";
      readonly expected: string;
      /** The answer: its status and the beginning of its body, without anything confidential. */
      readonly seen: string;
    }
  | { readonly status: "skipped"; readonly why: string };

/** The endpoint does not meet the requirement. */
export class CheckFailed extends Error {
  constructor(
    readonly expected: string,
    readonly seen: string,
  ) {
    super(`expected ${expected}, seen ${seen}`);
  }
}

/** The check cannot tell whether the endpoint meets the requirement. The message says why. */
export class CheckSkipped extends Error {}

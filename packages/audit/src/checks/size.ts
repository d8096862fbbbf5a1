import { gzipSync } from "node:zlib";
import { BOTH, type RunnableCheck, TOLOKA, Unproven } from "../check.js";
import { NoAnswer } from "../exchange.js";
import { type Draft, isSuccess, type Session } from "../session.js";

const OUTPUT_VALUES = "Toloka's API reference: output_values may total 4,194,304 bytes in one request";
const OUTPUT_VALUES_MAX = 4 * 1024 * 1024;

/** Far above all that a provider sends. */
const HUGE = 32 * 1024 * 1024;
const UNBOUNDED =
  "Who has no limit can be filled from a few connections by anybody, for a body is read before its signature can be verified. Nothing that a provider sends comes near.";

/** An event of the main type with so many bytes of text. */
function large(s: Session, bytes: number): Draft {
  return { events: [s.event({ note: "x".repeat(bytes) })] };
}

/** Refused, by an answer or by an end of the connection. */
async function stops(s: Session, ...drafts: readonly Draft[]): Promise<void> {
  for (const draft of drafts) {
    await s.refuses(draft).catch((error) => {
      if (!(error instanceof NoAnswer)) throw error;
      if (error.why === "late") throw new Unproven("so much could not be sent within the timeout");
      // To read no further and hang up is a way to refuse, too.
    });
  }
  await s.accepts({});
}

export const SIZE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "size-200-kb",
    group: "size",
    providers: TOLOKA,
    level: "MUST",
    what: "A delivery of 200 kB is accepted.",
    reason: "The usual limit of body parsers is 100 kB, and a batch of events is soon above it.",
    source: OUTPUT_VALUES,
    run: (s) => s.accepts(large(s, 200_000)),
  },
  {
    id: "size-4-mb",
    group: "size",
    providers: TOLOKA,
    level: "MUST",
    what: "A completed overlap with 4 MiB of `output_values` is accepted.",
    reason: "That much may be in one, and the event would be lost.",
    source: OUTPUT_VALUES,
    run: (s) => {
      const value = "x".repeat(OUTPUT_VALUES_MAX / 4);
      const output_values = Array.from({ length: 4 }, () => ({ field: value }));
      return s.accepts({ events: [s.event({ type: "DYNAMIC_OVERLAP_COMPLETED", output_values })] });
    },
  },
  {
    id: "size-limit",
    group: "size",
    providers: BOTH,
    level: "MUST",
    what: "A signed delivery of 32 MiB is not accepted, and harms nothing.",
    reason: UNBOUNDED,
    source: "CWE-770; RFC 9110, section 15.5.14",
    run: (s) => stops(s, large(s, HUGE)),
  },
  {
    id: "size-limit-chunked",
    group: "size",
    providers: BOTH,
    level: "MUST",
    what: "A signed delivery of 32 MiB in chunks, whose length nobody told, is not accepted, and harms nothing.",
    reason: UNBOUNDED,
    source: "CWE-770; RFC 9110, section 15.5.14",
    run: (s) => stops(s, { ...large(s, HUGE), chunked: true, pieces: 512 }),
  },
  {
    id: "size-limit-inflated",
    group: "size",
    providers: BOTH,
    level: "MUST",
    what: "A signed delivery of 32 kB that is 32 MiB when inflated is not accepted, and harms nothing.",
    reason: UNBOUNDED,
    source: "CWE-409",
    run: async (s) => {
      const headers = [["Content-Encoding", "gzip"]] as const;
      // Who accepts what it cannot read inflates nothing.
      if (isSuccess((await s.send({ headers, body: "garbage" })).status)) return;
      const { events = [] } = large(s, HUGE);
      const inflated = Buffer.from(s.provider.compose(events));
      const body = gzipSync(inflated, { level: 1 });
      // Over what is sent, or over what comes out: which of them an endpoint verifies is its business.
      await stops(s, { body, headers }, { events, body, headers, signs: inflated });
    },
  },
  {
    id: "size-status",
    group: "size",
    providers: BOTH,
    level: "SHOULD",
    what: "What is too large is answered with 413, and the answer arrives.",
    reason: "Where the connection just ends, nobody learns why.",
    source: "RFC 9110, section 15.5.14",
    run: (s) => s.answersWith("413", { body: Buffer.alloc(HUGE, " "), signs: "" }),
  },
];

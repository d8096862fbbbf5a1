import { gzipSync } from "node:zlib";
import { sendsManyEvents } from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import { NoAnswer } from "../exchange.js";
import { CheckSkipped } from "../outcome.js";
import { isSuccess, type Session } from "../session.js";
import { TOLOKA_OUTPUT_VALUES } from "../sources.js";
import { TOLOKA_SIZE_CHECKS } from "./providers/toloka.js";

/** In bytes: far above every delivery of a provider. */
const HUGE = 32 * 1024 * 1024;
const UNBOUNDED =
  "The endpoint reads a body before it can verify the signature. Without a limit, anyone can fill its memory from a few connections. No provider sends so much.";

/** A delivery of one event with a text of this many bytes. */
function largeDelivery(session: Session, bytes: number): Draft {
  return { events: [session.event({ note: "x".repeat(bytes) })] };
}

/** Expects that the endpoint refuses each delivery or closes the connection, and then accepts a good one. */
async function expectStopped(session: Session, ...drafts: readonly Draft[]): Promise<void> {
  for (const draft of drafts) {
    await session.expectRefused(draft).catch((error) => {
      if (!(error instanceof NoAnswer)) throw error;
      if (error.why === "late") throw new CheckSkipped("the delivery could not be sent within the timeout");
      // Closing the connection is also a refusal.
    });
  }
  await session.expectAccepted({});
}

export const SIZE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "size-200-kb",
    group: "size",
    appliesTo: sendsManyEvents,
    level: "MUST",
    requirement: "A delivery of 200 kB is accepted.",
    reason: "Body parsers often stop at 100 kB, and many events in one delivery soon exceed that.",
    source: TOLOKA_OUTPUT_VALUES,
    run: (session) => session.expectAccepted(largeDelivery(session, 200_000)),
  },
  ...TOLOKA_SIZE_CHECKS,
  {
    id: "size-limit",
    group: "size",
    level: "MUST",
    requirement: "A signed delivery of 32 MiB is refused, and the next good one is accepted.",
    reason: UNBOUNDED,
    source: "CWE-770; RFC 9110, section 15.5.14",
    run: (session) => expectStopped(session, largeDelivery(session, HUGE)),
  },
  {
    id: "size-limit-chunked",
    group: "size",
    level: "MUST",
    requirement:
      "A signed delivery of 32 MiB in chunks, without a `Content-Length`, is refused, and the next good one is accepted.",
    reason: UNBOUNDED,
    source: "CWE-770; RFC 9110, section 15.5.14",
    run: (session) => expectStopped(session, { ...largeDelivery(session, HUGE), chunked: true, pieces: 512 }),
  },
  {
    id: "size-limit-inflated",
    group: "size",
    level: "MUST",
    requirement:
      "A signed delivery of 32 kB that inflates to 32 MiB is refused, and the next good one is accepted.",
    reason: UNBOUNDED,
    source: "CWE-409",
    run: async (session) => {
      const headers = [["Content-Encoding", "gzip"]] as const;
      // An endpoint that accepts this body does not inflate bodies.
      if (isSuccess((await session.send({ headers, body: "garbage" })).status)) return;
      const { events = [] } = largeDelivery(session, HUGE);
      const inflated = Buffer.from(session.sender.composeBody(events));
      const body = gzipSync(inflated, { level: 1 });
      // The endpoint may verify the compressed or the inflated bytes.
      await expectStopped(session, { body, headers }, { events, body, headers, signedBody: inflated });
    },
  },
  {
    id: "size-status",
    group: "size",
    level: "SHOULD",
    requirement: "A body that is too large is answered with 413, and the answer arrives.",
    reason: "If the connection just closes, the sender does not learn why.",
    source: "RFC 9110, section 15.5.14",
    run: (session) => session.expectStatus("413", { body: Buffer.alloc(HUGE, " "), signedBody: "" }),
  },
];

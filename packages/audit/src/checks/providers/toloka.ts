import type { Sender, SignatureValues } from "@crowdhook/core/testing";
import type { RunnableCheck } from "../../check.js";
import type { Draft } from "../../delivery.js";
import { TOLOKA_AUTHENTICATION, TOLOKA_NOTIFICATIONS, TOLOKA_OUTPUT_VALUES } from "../../sources.js";

const isToloka = ({ provider }: Sender) => provider.name === "toloka";

const withHeader = (write: (signature: SignatureValues) => string): Draft => ({
  signatureHeaders: (signature) => [["Toloka-Signature", write(signature)]],
});

const OUTPUT_VALUES_MAX = 4 * 1024 * 1024;

/** The grammar of the header `Toloka-Signature`. */
export const TOLOKA_HEADER_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-order",
    group: "signature",
    appliesTo: isToloka,
    level: "SHOULD",
    requirement: "The fields of the header are read in any order.",
    reason: "The documentation shows one order but does not promise it.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) =>
      session.expectAccepted(
        withHeader(({ time, version, digest }) => `{sign=${digest}, v=${version}, ts=${time}}`),
        withHeader(({ time, version, digest }) => `{ts=${time}, sign=${digest}, v=${version}}`),
      ),
  },
  {
    id: "signature-spaces",
    group: "signature",
    appliesTo: isToloka,
    level: "SHOULD",
    requirement: "The fields of the header are read with and without spaces between them.",
    reason: "The documentation shows one space but does not promise it.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) =>
      session.expectAccepted(
        withHeader(({ time, version, digest }) => `{v=${version},ts=${time},sign=${digest}}`),
        withHeader(({ time, version, digest }) => `{ v=${version},  ts=${time},  sign=${digest} }`),
      ),
  },
  {
    id: "signature-new-field",
    group: "signature",
    appliesTo: isToloka,
    level: "MAY",
    requirement: "An undocumented field in the header is ignored.",
    reason: "The header has a version, so Toloka may add fields.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) =>
      session.expectAccepted(
        withHeader(({ time, version, digest }) => `{v=${version}, ts=${time}, sign=${digest}, alg=sha256}`),
      ),
  },
  {
    id: "signature-version",
    group: "signature",
    appliesTo: isToloka,
    level: "MAY",
    requirement: "A delivery with version 2 and a valid signature over it is accepted.",
    reason: "The signature covers the version, so an endpoint can verify any version.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) => session.expectAccepted({ version: "2" }),
  },
];

export const TOLOKA_VERSION_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-other-version",
    group: "signature",
    appliesTo: isToloka,
    level: "SHOULD",
    requirement: "A version that was changed after signing is refused.",
    reason: "The signature covers the version. An endpoint that accepts another one has not verified it.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) => session.expectRefused({ alterSignature: () => ({ version: "2" }) }),
  },
];

export const TOLOKA_BODY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "body-bare-event",
    group: "body",
    appliesTo: isToloka,
    level: "SHOULD",
    requirement: "A `TEST_EVENT` without an envelope is accepted.",
    reason:
      "The documentation shows the test notification in this form. If it is refused, the call that tests a subscription fails.",
    source: "Toloka's documentation of the test notification",
    run: (session) => {
      const { content } = session.event({}, "TEST_EVENT");
      return session.expectAccepted({ events: [], body: JSON.stringify(content) });
    },
  },
];

export const TOLOKA_EVENT_CHECKS: readonly RunnableCheck[] = [
  {
    id: "event-close-reason-new",
    group: "events",
    appliesTo: isToloka,
    level: "MUST",
    requirement: "A `POOL_CLOSED` event is accepted with any `close_reason`.",
    reason: "The documentation shows only one reason, and Toloka may add others.",
    source: TOLOKA_NOTIFICATIONS,
    run: (session) =>
      session.expectAccepted({ events: [session.event({ close_reason: "SOMETHING_NEW" }, "POOL_CLOSED")] }),
  },
  {
    id: "event-time-forms",
    group: "events",
    appliesTo: isToloka,
    level: "MUST",
    requirement: "`event_time` is read with and without a fraction of a second.",
    reason: "The documentation says ISO 8601 without an offset. The precision varies.",
    source: TOLOKA_NOTIFICATIONS,
    run: (session) =>
      session.expectAccepted(
        ...["", ".5", ".123", ".123456"].map((fraction) => ({
          events: [session.event({ event_time: `2020-02-14T12:22:58${fraction}` })],
        })),
      ),
  },
  {
    id: "event-overlap-forms",
    group: "events",
    appliesTo: isToloka,
    level: "MUST",
    requirement:
      "A `DYNAMIC_OVERLAP_COMPLETED` event is accepted with an object or a list as `output_values`, and with a `confidence` that is an integer or a fraction.",
    reason: "The documentation describes one form and shows the other.",
    source: TOLOKA_NOTIFICATIONS,
    run: (session) =>
      session.expectAccepted(
        ...[
          { output_values: { field: "value" }, confidence: 0.155 },
          { output_values: [{ field: "value" }, { field: "other" }], confidence: 1 },
        ].map((fields) => ({ events: [session.event(fields, "DYNAMIC_OVERLAP_COMPLETED")] })),
      ),
  },
];

export const TOLOKA_SIZE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "size-4-mb",
    group: "size",
    appliesTo: isToloka,
    level: "MUST",
    requirement: "A `DYNAMIC_OVERLAP_COMPLETED` event with 4 MiB of `output_values` is accepted.",
    reason: "One event may hold that much. Otherwise it is lost.",
    source: TOLOKA_OUTPUT_VALUES,
    run: (session) => {
      const value = "x".repeat(OUTPUT_VALUES_MAX / 4);
      const output_values = Array.from({ length: 4 }, () => ({ field: value }));
      return session.expectAccepted({
        events: [session.event({ output_values }, "DYNAMIC_OVERLAP_COMPLETED")],
      });
    },
  },
];

export const TOLOKA_REPLY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "reply-200",
    group: "replies",
    appliesTo: isToloka,
    level: "SHOULD",
    requirement: "A good delivery is answered with 200.",
    reason: "Toloka does not document which statuses count as success. 200 certainly does.",
    source: "Toloka's API reference: the test of a subscription tells WRONG_STATUS_CODE",
    run: (session) => session.expectStatus("200", {}),
  },
];

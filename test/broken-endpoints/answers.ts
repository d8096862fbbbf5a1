import { SECRETS } from "../plain-endpoint.js";
import { before, both, FAILED, type Flaw } from "./flaw.js";

export const ANSWER_FLAWS: readonly Flaw[] = [
  {
    name: "accepts everything",
    breaks: (e) => {
      e.isGenuine = () => true;
      e.isCopy = () => false;
    },
    fails: {
      toloka: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-other-secret signature-no-secret signature-other-body
      signature-other-version signature-long signature-twice time-changed time-missing time-old
      time-ahead time-unit time-unreadable body-rewritten body-mark-added
    `,
      prolific: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-other-secret signature-no-secret signature-other-body
      signature-long signature-twice time-changed time-missing time-old time-ahead time-unit
      time-unreadable body-rewritten body-mark-added once-other-id once-respelled
    `,
    },
  },
  {
    name: "answers 200 to everything",
    slow: "all",
    breaks: (e) => {
      const { answer } = e;
      e.answer = async (request) => ({ ...(await answer.call(e, request)), status: 200 });
    },
    fails: {
      toloka: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-other-secret signature-no-secret signature-other-body
      signature-other-version signature-long signature-twice time-changed time-missing time-old
      time-ahead time-unit time-unreadable body-rewritten body-decoded body-mark-added
      body-empty body-not-json body-null body-not-an-envelope http-method
      http-allow http-path size-limit size-limit-chunked size-status
    `,
      prolific: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-other-secret signature-no-secret signature-other-body
      signature-long signature-twice signature-boundary time-changed time-missing time-old
      time-ahead time-unit time-unreadable body-rewritten body-decoded body-mark-added
      body-empty body-not-json body-null body-not-an-envelope http-method
      http-allow http-path size-limit size-limit-chunked size-status
    `,
    },
  },
  {
    name: "fails every delivery after the first",
    breaks: (e) => {
      const { handleAll } = e;
      e.handleAll = (events) => {
        e.handleAll = async () => FAILED;
        return handleAll.call(e, events);
      };
    },
    fails: {
      toloka: `
      signature-good signature-header-case signature-short signature-shorter signature-padded
      signature-order signature-spaces signature-new-field signature-version
      signature-second-secret time-close body-indented body-escapes body-not-ascii
      body-no-events body-bare-event event-types event-type-new event-type-new-among-others
      event-type-inherited event-fields-new event-close-reason-new event-time-forms
      event-overlap-forms event-batch event-batch-order event-misfit-among-others
      event-fields-twice event-field-proto event-numbers-huge event-nested-deep once-accepted
      once-same-delivery once-signed-anew once-concurrent once-in-a-delivery once-among-others
      once-each once-after-forgery http-chunked http-broken-off http-pipelined http-content-type
      http-content-type-other http-content-encoding reply-200 end-refused-not-handled end-alive
    `,
      prolific: `
      signature-good signature-header-case signature-second-secret time-close body-indented
      body-escapes body-not-ascii event-types event-type-new event-type-inherited
      event-fields-new event-values-new event-fields-twice event-field-proto event-numbers-huge
      event-nested-deep once-accepted once-same-delivery once-signed-anew once-concurrent
      once-each once-after-forgery once-other-id once-respelled http-chunked http-broken-off
      http-pipelined
      http-content-type http-content-type-other http-content-encoding end-refused-not-handled
      end-alive
    `,
    },
  },
  {
    name: "accepts every method",
    breaks: (e) => {
      e.refusal = ({ url }) => (url === "/webhook" ? undefined : { status: 404 });
    },
    fails: both("http-method http-allow"),
  },
  {
    name: "accepts every path",
    breaks: (e) => {
      e.refusal = ({ method }) =>
        method === "POST" ? undefined : { status: 405, headers: { allow: "POST" } };
    },
    fails: both("http-path"),
  },
  {
    name: "compares Content-Type as text",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        headers["content-type"] === "application/json" ? undefined : { status: 415 },
      ),
    fails: both("http-content-type"),
  },
  {
    name: "answers 500 to other content types and encodings",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        /^application\/json(?!.*utf-7)/i.test(headers["content-type"] ?? "") && !headers["content-encoding"]
          ? undefined
          : FAILED,
      ),
    fails: both("http-content-type-other http-content-encoding"),
  },
  {
    name: "replies with the expected signature",
    breaks: (e) => {
      e.forged = (headers, body) => {
        const { prefix = "" } = e.signature(headers) ?? {};
        return { status: 401, text: `expected ${e.sign(SECRETS[0], prefix, body)}` };
      };
    },
    fails: both("reply-signature"),
  },
  {
    name: "replies with a secret",
    breaks: (e) => {
      e.unreadable = () => ({ status: 400, headers: { "x-debug": `secret=${SECRETS[1]}` } });
    },
    fails: both("reply-secret"),
  },
  {
    name: "replies with a stack trace",
    breaks: (e) => {
      e.unreadable = () => ({ status: 400, text: JSON.stringify({ error: new Error("no JSON").stack }) });
    },
    fails: both("reply-trace"),
  },
  {
    name: "answers 202",
    breaks: (e) => {
      const { handleAll } = e;
      e.handleAll = async (events) => ({ ...(await handleAll.call(e, events)), status: 202 });
    },
    fails: { toloka: "reply-200" },
  },
];

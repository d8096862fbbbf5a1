import { before, both, FAILED, type Flaw } from "./flaw.js";

export const EVENT_FLAWS: readonly Flaw[] = [
  {
    name: "refuses unknown types",
    breaks: (e) => before(e, "handle", ({ type }) => (e.isKnown(type) ? undefined : false)),
    fails: { toloka: "event-type-new event-type-new-among-others", prolific: "event-type-new" },
  },
  {
    name: "knows only one type",
    slow: "size-4-mb",
    breaks: (e) => {
      e.isKnown = (type) => type === "ASSIGNMENT_SUBMITTED" || type === "submission.status.change";
      before(e, "handle", ({ type }) => (e.isKnown(type) ? undefined : false));
    },
    fails: {
      toloka: `
      body-bare-event event-types event-type-new event-type-new-among-others
      event-close-reason-new event-overlap-forms size-4-mb
    `,
      prolific: "event-types event-type-new",
    },
  },
  {
    name: "looks up listeners in an object",
    breaks: (e) =>
      before(e, "handleAll", (events) =>
        events.some(({ type }) => String(type) in {}) ? Promise.resolve(FAILED) : undefined,
      ),
    fails: both("event-type-inherited"),
  },
  {
    name: "refuses undocumented fields",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        Object.keys(content).some((name) => /^(new_|note$|[nms]$)/.test(name)) ? false : undefined,
      ),
    fails: both("body-escapes body-not-ascii event-fields-new http-chunked"),
  },
  {
    name: "refuses undocumented values",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        /SOMETHING.NEW/.test(`${content.status}${content.close_reason}`) ? false : undefined,
      ),
    fails: { toloka: "event-close-reason-new", prolific: "event-values-new" },
  },
  {
    name: "requires times in whole seconds",
    breaks: (e) =>
      before(e, "handle", ({ content }) => (/\./.test(String(content.event_time)) ? false : undefined)),
    fails: { toloka: "event-time-forms" },
  },
  {
    name: "requires a list as output_values",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        content.output_values === undefined || Array.isArray(content.output_values) ? undefined : false,
      ),
    fails: { toloka: "event-types event-overlap-forms" },
  },
  {
    name: "fails on unusual JSON",
    breaks: (e) => {
      const depth = (value: unknown): number =>
        value && typeof value === "object" ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
      before(e, "events", (body) => {
        const text = body.toString();
        if (
          (text.match(/"(event_)?type"/g)?.length ?? 0) > 1 &&
          text.split(/"(?:uuid|resource_id)"/).length === 2
        )
          throw new Error("twice");
        return undefined;
      });
      before(e, "handle", ({ content }) => {
        if (Object.hasOwn(content, "__proto__")) throw new Error("a prototype");
        if (typeof content.note === "number" && !Number.isSafeInteger(content.note))
          throw new Error("no integer");
        depth(content);
        return undefined;
      });
      const { answer } = e;
      e.answer = (request) => answer.call(e, request).catch(() => FAILED);
    },
    fails: both("event-fields-twice event-field-proto event-numbers-huge event-nested-deep"),
  },
  {
    name: "handles the last event of a delivery first",
    breaks: (e) => {
      const { handleAll } = e;
      e.handleAll = (events) => handleAll.call(e, [...events].reverse());
    },
    fails: { toloka: "event-batch-order" },
  },
  {
    name: "handles only the first event of a delivery",
    breaks: (e) => {
      const { handleAll } = e;
      e.handleAll = (events) => handleAll.call(e, events.slice(0, 1));
    },
    fails: {
      toloka: `
      event-type-new-among-others event-batch event-batch-order event-misfit-among-others
      once-in-a-delivery once-among-others
    `,
    },
  },
  {
    name: "drops a whole delivery for one malformed event",
    breaks: (e) =>
      before(e, "handleAll", (events) =>
        events.some(({ content }) => typeof content.event_time === "number")
          ? Promise.resolve({ status: 422 })
          : undefined,
      ),
    fails: { toloka: "event-misfit-among-others" },
  },
];

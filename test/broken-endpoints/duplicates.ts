import { setImmediate } from "node:timers/promises";
import { before, both, type Flaw } from "./flaw.js";

export const DUPLICATE_FLAWS: readonly Flaw[] = [
  {
    name: "handles duplicates again",
    breaks: (e) => {
      before(e, "handle", ({ id, type }) => {
        if (e.isKnown(type) && typeof id === "string") e.done.delete(id);
        return undefined;
      });
    },
    fails: {
      toloka: `
      once-same-delivery once-signed-anew once-concurrent once-in-a-delivery once-among-others
      end-nothing-twice
    `,
      prolific: "once-same-delivery once-signed-anew once-concurrent end-nothing-twice",
    },
  },
  {
    name: "refuses duplicates",
    breaks: (e) => before(e, "handle", ({ id }) => (e.done.has(String(id)) ? false : undefined)),
    fails: both("once-accepted"),
  },
  {
    name: "looks an id up and stores it later",
    breaks: (e) => {
      const { handle } = e;
      e.handle = async (event) => {
        const isNew = !e.done.has(String(event.id));
        await setImmediate();
        await setImmediate();
        if (isNew) e.done.delete(String(event.id));
        return handle.call(e, event);
      };
    },
    fails: both("once-concurrent end-nothing-twice"),
  },
  {
    name: "handles events again after a body that is too large",
    slow: "size-status",
    breaks: (e) => {
      e.tooLarge = () => {
        e.handled.push(...e.handled.slice(0, 3));
        return { status: 413 };
      };
    },
    fails: both("end-nothing-twice"),
  },
  {
    name: "identifies events by their content",
    breaks: (e) => {
      const { handle } = e;
      const seen = new Set<string>();
      e.handle = (event) => {
        const key = String(event.content.assignment_id ?? event.content.resource_id);
        if (seen.has(key)) return true;
        seen.add(key);
        return handle.call(e, event);
      };
    },
    fails: both("once-each"),
  },
  {
    name: "trusts Prolific's unsigned ids",
    breaks: (e) => {
      e.isCopy = () => false;
    },
    fails: { prolific: "once-other-id" },
  },
  {
    name: "reads a signature in any spelling, and remembers the text of the header",
    breaks: (e) => {
      const { signature } = e;
      e.signature = (headers) => {
        const name = "x-prolific-request-signature";
        const sent = String(headers[name]);
        const digest = /^[\w+/-]{43}=?$/.test(sent) ? Buffer.from(sent, "base64").toString("base64") : sent;
        return signature.call(e, { ...headers, [name]: digest });
      };
    },
    fails: { prolific: "once-respelled" },
  },
  {
    name: "stores ids before it verifies",
    breaks: (e) => {
      e.forged = (headers, body) => {
        for (const { id } of e.events(body, headers) ?? []) e.done.add(String(id));
        return { status: 401 };
      };
    },
    fails: both("once-after-forgery"),
  },
  {
    name: "handles refused deliveries",
    breaks: (e) => {
      e.forged = (headers, body) => {
        for (const event of e.events(body, headers) ?? []) void e.handle(event);
        return { status: 401 };
      };
    },
    fails: {
      toloka: "end-refused-not-handled",
      prolific: "once-respelled end-refused-not-handled",
    },
  },
];

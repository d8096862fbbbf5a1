import { gunzipSync } from "node:zlib";
import { before, both, FAILED, type Flaw, never, OK } from "./flaw.js";

export const BODY_FLAWS: readonly Flaw[] = [
  {
    name: "decodes before it verifies",
    breaks: (e) => {
      const { read } = e;
      e.read = async (request) => {
        const body = await read.call(e, request);
        return body && Buffer.from(new TextDecoder().decode(body));
      };
    },
    fails: both("body-decoded body-mark-added"),
  },
  {
    name: "decodes bytes as Latin-1 before it verifies",
    breaks: (e) => {
      const { sign } = e;
      e.sign = (secret, prefix, body) => sign.call(e, secret, prefix, Buffer.from(body.toString("latin1")));
    },
    fails: both("body-not-ascii"),
  },
  {
    name: "verifies the body after it serialized it again",
    breaks: (e) => {
      const { sign } = e;
      e.sign = (secret, prefix, body) => {
        let json = "";
        try {
          json = JSON.stringify(JSON.parse(body.toString()));
        } catch {}
        return sign.call(e, secret, prefix, Buffer.from(json));
      };
    },
    fails: { toloka: "signature-other-body body-indented body-escapes body-not-ascii body-rewritten" },
  },
  {
    name: "answers 500 to malformed bodies",
    breaks: (e) => {
      e.unreadable = () => FAILED;
    },
    fails: both(`
      body-mark body-not-utf8 body-empty body-not-json body-null body-not-an-envelope
      http-content-encoding
    `),
  },
  {
    name: "accepts malformed bodies",
    breaks: (e) => {
      e.unreadable = () => OK;
    },
    fails: both("body-empty body-not-json body-null body-not-an-envelope"),
  },
  {
    name: "requires an envelope with at least one event",
    breaks: (e) =>
      before(e, "events", (body) => {
        let json = {};
        try {
          json = JSON.parse(body.toString());
        } catch {}
        const { events } = Object(json);
        return Array.isArray(events) && events.length === 0
          ? [{ id: "", type: "TEST_EVENT", content: {} }]
          : undefined;
      }),
    fails: { toloka: "body-no-events" },
  },
  {
    name: "crashes on null",
    breaks: (e) =>
      before(e, "unreadable", (body) => (body.toString() === "null" ? e.die().then(never) : undefined)),
    fails: both("body-null end-alive"),
  },
  {
    name: "crashes if a sender hangs up",
    breaks: (e) => {
      e.brokenOff = e.die;
    },
    fails: both("http-broken-off end-alive"),
  },
  {
    name: "hangs on null",
    breaks: (e) => before(e, "unreadable", (body) => (body.toString() === "null" ? never() : undefined)),
    fails: both("body-null body-answered"),
  },
  {
    name: "hangs on an event without an id",
    breaks: (e) => before(e, "handle", ({ id }) => (id ? undefined : never())),
    fails: both("event-misfit"),
  },
  {
    name: "reads as many bytes as Content-Length says",
    breaks: (e) => {
      const { read } = e;
      e.read = async (request) =>
        (await read.call(e, request))?.subarray(0, Number(request.headers["content-length"] ?? 0));
    },
    fails: both("http-chunked"),
  },
  {
    name: "reads only the first piece of a body",
    slow: "http-slow size-200-kb size-4-mb size-status",
    breaks: (e) => {
      e.read = async (request) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk);
        return chunks[0] ?? Buffer.alloc(0);
      };
    },
    fails: {
      toloka: "http-chunked http-slow size-200-kb size-4-mb size-status",
      prolific: "http-chunked http-slow size-status",
    },
  },
  {
    name: "has a limit of 100 kB",
    slow: "size-200-kb size-4-mb",
    breaks: (e) => {
      e.limit = 100_000;
    },
    fails: { toloka: "size-200-kb size-4-mb" },
  },
  {
    name: "has no limit for bodies",
    slow: "all",
    breaks: (e) => {
      e.limit = Number.POSITIVE_INFINITY;
    },
    fails: both("size-limit size-limit-chunked size-status"),
  },
  {
    name: "limits only bodies with a Content-Length",
    slow: "all",
    breaks: (e) => {
      const { limit } = e;
      const { read } = e;
      e.read = (request) => {
        e.limit = "content-length" in request.headers ? limit : Number.POSITIVE_INFINITY;
        return read.call(e, request);
      };
    },
    fails: both("size-limit-chunked"),
  },
  {
    name: "inflates bodies without a limit",
    slow: "all",
    breaks: (e) => {
      const { read } = e;
      e.read = async (request) => {
        const body = await read.call(e, request);
        try {
          return request.headers["content-encoding"] && body ? gunzipSync(body) : body;
        } catch {
          return Buffer.alloc(0);
        }
      };
    },
    fails: both("size-limit-inflated"),
  },
  {
    name: "hangs up on large bodies",
    slow: "all",
    breaks: (e) => {
      e.tooLarge = (request) => {
        request.socket.destroy();
        return { status: 413 };
      };
    },
    fails: both("size-status"),
  },
];

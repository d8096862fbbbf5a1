import type http from "node:http";
import { setImmediate } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { type EndpointProvider, type PlainEndpoint, SECRETS } from "./plain-endpoint.js";

type Headers = http.IncomingHttpHeaders;

const OK = { status: 200, text: "ok" };
const FAILED = { status: 500, text: "failed" };
const never = () => new Promise<never>(() => {});

/** Toloka's header and Prolific's, as they came. */
const signatureIn = (headers: Headers) =>
  String(headers["toloka-signature"] ?? headers["x-prolific-request-signature"] ?? "");

/** One thing that people get wrong. */
export interface Flaw {
  readonly name: string;
  /** Of the checks that take long, those that are made: "all", or none where they would find nothing. */
  readonly slow?: string;
  /** Makes an endpoint wrong that is right. */
  readonly breaks: (endpoint: PlainEndpoint) => unknown;
  /** The checks that find it; no others do. For a provider that is not here, it is no flaw. */
  readonly fails: Partial<Record<EndpointProvider, string>>;
}

const both = (ids: string) => ({ toloka: ids, prolific: ids });

/** Reads its signature's digest as it was sent. */
function readsDigest(endpoint: PlainEndpoint, read: (digest: string) => string): void {
  const { signature } = endpoint;
  endpoint.signature = (headers) => {
    const sent =
      /sign=(\w*)/.exec(signatureIn(headers))?.[1] ??
      (headers["toloka-signature"] ? "" : signatureIn(headers));
    const time = /ts=(\d+)/.exec(signatureIn(headers))?.[1] ?? headers["x-prolific-request-timestamp"];
    const digest = read(sent);
    if (!/^\d+$/.test(String(time))) return signature.call(endpoint, headers);
    return endpoint.provider === "toloka"
      ? { prefix: `${time}.${/v=(\d+)/.exec(signatureIn(headers))?.[1]}.`, digest, time: Number(time) }
      : { prefix: String(time), digest, time: Number(time) * 1000 };
  };
}

/** Does more before a step. */
function before<Step extends "events" | "handle" | "handleAll" | "refusal" | "forged" | "unreadable">(
  endpoint: PlainEndpoint,
  step: Step,
  more: (...args: Parameters<PlainEndpoint[Step]>) => ReturnType<PlainEndpoint[Step]> | undefined,
): void {
  const own = endpoint[step] as (...args: Parameters<PlainEndpoint[Step]>) => ReturnType<PlainEndpoint[Step]>;
  endpoint[step] = ((...args: Parameters<PlainEndpoint[Step]>) =>
    more(...args) ?? own.apply(endpoint, args)) as PlainEndpoint[Step];
}

export const FLAWS: readonly Flaw[] = [
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
      time-unreadable body-rewritten body-mark-added once-other-id
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
    name: "fails at all but the first",
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
      once-each once-after-forgery once-other-id http-chunked http-broken-off http-pipelined
      http-content-type http-content-type-other http-content-encoding end-refused-not-handled
      end-alive
    `,
    },
  },
  {
    name: "does not look at the time",
    breaks: (e) => {
      e.isInTime = () => true;
    },
    fails: { toloka: "time-old time-ahead time-unit", prolific: "time-old time-ahead" },
  },
  {
    name: "looks only whether it is too old",
    breaks: (e) => {
      e.isInTime = (time) => Date.now() - time <= 300_000;
    },
    fails: both("time-ahead"),
  },
  {
    name: "takes what is no time for one that is not too old",
    breaks: (e) => {
      const { signature } = e;
      e.signature = (headers) => {
        const [, time = "", digest = ""] = /ts=(\w+), sign=(\w+)/.exec(signatureIn(headers)) ?? [];
        return (
          signature.call(e, headers) ??
          (digest ? { prefix: `${time}.1.`, digest, time: Number(time) } : undefined)
        );
      };
      e.isInTime = (time) => !(Math.abs(Date.now() - time) > 300_000);
    },
    fails: { toloka: "time-unreadable" },
  },
  {
    name: "has no patience with clocks",
    breaks: (e) => {
      e.isInTime = (time) => Math.abs(Date.now() - time) <= 20_000;
    },
    fails: both("time-close"),
  },
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
    name: "takes bytes for Latin-1 before it verifies",
    breaks: (e) => {
      const { sign } = e;
      e.sign = (secret, prefix, body) => sign.call(e, secret, prefix, Buffer.from(body.toString("latin1")));
    },
    fails: both("body-not-ascii"),
  },
  {
    name: "verifies what it serialized anew",
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
    name: "wants its headers in the documented case",
    breaks: (e) =>
      before(e, "refusal", ({ rawHeaders }) =>
        rawHeaders.some((name) => /^(Toloka-Signature|X-Prolific-Request-Signature)$/.test(name))
          ? undefined
          : { status: 401 },
      ),
    fails: both("signature-header-case"),
  },
  {
    name: "wants all digits",
    breaks: (e) => readsDigest(e, (digest) => digest),
    fails: { toloka: "signature-short signature-shorter" },
  },
  {
    name: "wants no zeros in front",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => digest === computed.replace(/^0+/, "");
    },
    fails: { toloka: "signature-padded" },
  },
  {
    name: "compares the beginning of a signature",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => computed.startsWith(digest);
    },
    fails: {
      toloka: "signature-short signature-shorter signature-empty signature-cut-at-end",
      prolific: "signature-empty signature-cut-at-end signature-unreadable",
    },
  },
  {
    name: "compares the end of a signature",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => computed.endsWith(digest);
    },
    fails: {
      toloka: "signature-empty signature-cut-in-front",
      prolific: "signature-empty signature-cut-in-front signature-unreadable",
    },
  },
  {
    name: "compares as many digits as there should be",
    breaks: (e) => {
      readsDigest(e, (digest) => digest.padStart(64, "0"));
      e.fits = (digest, computed) => digest.startsWith(computed) || digest.endsWith(`0${computed}`);
    },
    fails: both("signature-long"),
  },
  {
    name: "reads base64 as decoders do, whatever is missing or left over behind it",
    breaks: (e) => readsDigest(e, (digest) => Buffer.from(digest, "base64").toString("base64")),
    fails: { prolific: "signature-long" },
  },
  {
    name: "takes what is not signed for genuine",
    breaks: (e) => {
      const { isGenuine } = e;
      e.isGenuine = (headers, body) => signatureIn(headers) === "" || isGenuine.call(e, headers, body);
    },
    fails: both("signature-missing signature-empty"),
  },
  {
    name: "takes a signature that it cannot read for none, and none for genuine",
    breaks: (e) => {
      const { isGenuine } = e;
      e.isGenuine = (headers, body) => !e.signature(headers) || isGenuine.call(e, headers, body);
    },
    fails: {
      toloka: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-long signature-twice time-missing time-unreadable
    `,
      prolific: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-long signature-twice time-missing time-unit time-unreadable
    `,
    },
  },
  {
    name: "reads the header by the places of its fields",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        /^\{v=\d+, ts=\d+, sign=\w+\}$/.test(signatureIn(headers)) ? undefined : { status: 401 },
      ),
    fails: { toloka: "signature-order signature-spaces signature-new-field" },
  },
  {
    name: "takes version 1 for granted",
    breaks: (e) => {
      const { sign } = e;
      e.sign = (secret, prefix, body) => sign.call(e, secret, prefix.replace(/\.\d+\.$/, ".1."), body);
    },
    fails: { toloka: "signature-version signature-other-version" },
  },
  {
    name: "takes the last of two headers",
    breaks: (e) => {
      const { signature } = e;
      e.signature = (headers) => {
        const last = (value: unknown) =>
          String(value ?? "")
            .split(/, (?=\{|\S{44}$)/)
            .at(-1);
        const names = ["toloka-signature", "x-prolific-request-signature"];
        return signature.call(e, {
          ...headers,
          ...Object.fromEntries(names.map((name) => [name, last(headers[name])])),
        });
      };
    },
    fails: both("signature-twice"),
  },
  {
    name: "knows one secret",
    breaks: (e) => {
      e.secrets = SECRETS.slice(0, 1);
    },
    fails: both("signature-second-secret"),
  },
  {
    name: "falls back to an empty secret",
    breaks: (e) => {
      e.secrets = [...SECRETS, ""];
    },
    fails: both("signature-no-secret"),
  },
  {
    name: "fails at forgeries",
    breaks: (e) => {
      e.forged = () => FAILED;
    },
    fails: both("signature-status"),
  },
  {
    name: "fails at what it cannot read",
    breaks: (e) => {
      e.unreadable = () => FAILED;
    },
    fails: both(`
      body-mark body-not-utf8 body-empty body-not-json body-null body-not-an-envelope
      http-content-encoding
    `),
  },
  {
    name: "accepts what it cannot read",
    breaks: (e) => {
      e.unreadable = () => OK;
    },
    fails: both("body-empty body-not-json body-null body-not-an-envelope"),
  },
  {
    name: "wants events in an envelope, and at least one",
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
    name: "dies of null",
    breaks: (e) =>
      before(e, "unreadable", (body) => (body.toString() === "null" ? e.die().then(never) : undefined)),
    fails: both("body-null end-alive"),
  },
  {
    name: "dies of a sender that hangs up",
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
    name: "refuses types that it does not know",
    breaks: (e) => before(e, "handle", ({ type }) => (e.isKnown(type) ? undefined : false)),
    fails: { toloka: "event-type-new event-type-new-among-others", prolific: "event-type-new" },
  },
  {
    name: "knows one type",
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
    name: "wants the documented fields, and no others",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        Object.keys(content).some((name) => /^(new_|note$|[nms]$)/.test(name)) ? false : undefined,
      ),
    fails: both("body-escapes body-not-ascii event-fields-new http-chunked"),
  },
  {
    name: "wants the documented values",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        /SOMETHING.NEW/.test(`${content.status}${content.close_reason}`) ? false : undefined,
      ),
    fails: { toloka: "event-close-reason-new", prolific: "event-values-new" },
  },
  {
    name: "wants times in whole seconds",
    breaks: (e) =>
      before(e, "handle", ({ content }) => (/\./.test(String(content.event_time)) ? false : undefined)),
    fails: { toloka: "event-time-forms" },
  },
  {
    name: "wants output_values to be a list",
    breaks: (e) =>
      before(e, "handle", ({ content }) =>
        content.output_values === undefined || Array.isArray(content.output_values) ? undefined : false,
      ),
    fails: { toloka: "event-types event-overlap-forms" },
  },
  {
    name: "did not expect everything that JSON can hold",
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
    name: "handles the first event of a delivery",
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
    name: "drops a delivery for one event in it",
    breaks: (e) =>
      before(e, "handleAll", (events) =>
        events.some(({ content }) => typeof content.event_time === "number")
          ? Promise.resolve({ status: 422 })
          : undefined,
      ),
    fails: { toloka: "event-misfit-among-others" },
  },
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
    name: "looks first and notes later",
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
    name: "repeats what it has handled when something else goes wrong",
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
    name: "tells events apart by their content",
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
    name: "takes Prolific's ids for signed",
    breaks: (e) => {
      e.isCopy = () => false;
    },
    fails: { prolific: "once-other-id" },
  },
  {
    name: "notes ids before it verifies",
    breaks: (e) => {
      e.forged = (headers, body) => {
        for (const { id } of e.events(body, headers) ?? []) e.done.add(String(id));
        return { status: 401 };
      };
    },
    fails: both("once-after-forgery"),
  },
  {
    name: "handles what it refuses",
    breaks: (e) => {
      e.forged = (headers, body) => {
        for (const event of e.events(body, headers) ?? []) void e.handle(event);
        return { status: 401 };
      };
    },
    fails: both("end-refused-not-handled"),
  },
  {
    name: "reads as much as Content-Length says",
    breaks: (e) => {
      const { read } = e;
      e.read = async (request) =>
        (await read.call(e, request))?.subarray(0, Number(request.headers["content-length"] ?? 0));
    },
    fails: both("http-chunked"),
  },
  {
    name: "takes the first piece for the whole",
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
    name: "takes every method",
    breaks: (e) => {
      e.refusal = ({ url }) => (url === "/webhook" ? undefined : { status: 404 });
    },
    fails: both("http-method http-allow"),
  },
  {
    name: "takes every path",
    breaks: (e) => {
      e.refusal = ({ method }) =>
        method === "POST" ? undefined : { status: 405, headers: { allow: "POST" } };
    },
    fails: both("http-path"),
  },
  {
    name: "wants one content type to the letter",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        headers["content-type"] === "application/json" ? undefined : { status: 415 },
      ),
    fails: both("http-content-type"),
  },
  {
    name: "fails at other content types and encodings",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        /^application\/json(?!.*utf-7)/i.test(headers["content-type"] ?? "") && !headers["content-encoding"]
          ? undefined
          : FAILED,
      ),
    fails: both("http-content-type-other http-content-encoding"),
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
    name: "has no limit",
    slow: "all",
    breaks: (e) => {
      e.limit = Number.POSITIVE_INFINITY;
    },
    fails: both("size-limit size-limit-chunked size-status"),
  },
  {
    name: "limits what has a length",
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
    name: "inflates without a limit",
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
    name: "hangs up on what is too large",
    slow: "all",
    breaks: (e) => {
      e.tooLarge = (request) => {
        request.socket.destroy();
        return { status: 413 };
      };
    },
    fails: both("size-status"),
  },
  {
    name: "tells the signature that it expected",
    breaks: (e) => {
      e.forged = (headers, body) => {
        const { prefix = "" } = e.signature(headers) ?? {};
        return { status: 401, text: `expected ${e.sign(SECRETS[0], prefix, body)}` };
      };
    },
    fails: both("reply-signature"),
  },
  {
    name: "tells its secret",
    breaks: (e) => {
      e.unreadable = () => ({ status: 400, headers: { "x-debug": `secret=${SECRETS[1]}` } });
    },
    fails: both("reply-secret"),
  },
  {
    name: "tells its stack",
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

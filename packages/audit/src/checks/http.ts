import { gzipSync } from "node:zlib";
import { BOTH, type RunnableCheck, Unproven } from "../check.js";
import { NoAnswer } from "../exchange.js";
import { type Draft, isSuccess, type Session } from "../session.js";

const JSON_TYPE = 'Toloka\'s documentation, "Event authentication": Content-Type is application/json';

const NO_FAILURE = "It may be read or refused; it is no failure of the app.";

const contentType = (value: string): Draft => ({ headers: [["Content-Type", value]] });

/** Long enough to be sent in pieces. */
const NOTE = { note: "x".repeat(2_000) };

/** For what is no answer: who ends a connection early has the rest sent again, and that is no mistake. */
function unlessClosed(error: unknown): undefined {
  if (!(error instanceof NoAnswer && error.why === "closed")) throw error;
}

async function pipelined(s: Session, ...drafts: readonly Draft[]): Promise<readonly number[]> {
  return (await s.pipelines(...drafts).catch(unlessClosed)) ?? [];
}

export const HTTP_CHECKS: readonly RunnableCheck[] = [
  {
    id: "http-chunked",
    group: "http",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is sent in chunks, without a `Content-Length`, is accepted.",
    reason:
      "A sender or a proxy may well send it so; who reads no chunks takes the body for empty, and loses the event.",
    source: "RFC 9112, section 7.1: a recipient must be able to parse chunks",
    run: (s) => s.accepts({ events: [s.event(NOTE)], chunked: true, pieces: 7 }),
  },
  {
    id: "http-slow",
    group: "http",
    providers: BOTH,
    level: "MUST",
    what: "A delivery whose body takes most of a second to arrive is accepted.",
    reason: "Networks stall; who takes the first piece for the whole loses the event.",
    source: "RFC 9112, section 6: a message ends where its length says",
    run: (s) => s.accepts({ events: [s.event(NOTE)], pieces: 4, pause: 250 }),
  },
  {
    id: "http-broken-off",
    group: "http",
    providers: BOTH,
    level: "MUST",
    what: "A sender that hangs up in the middle of a body harms nothing: the next delivery is accepted.",
    reason: "It happens every day. An error that nobody takes ends the process.",
    source: "RFC 9112, section 8: a message that is cut off is incomplete",
    run: async (s) => {
      for (const how of ["end", "reset", "end", "reset"] as const) {
        await s.breaksOff({ events: [s.event(NOTE)] }, how);
        await s.accepts({});
      }
    },
  },
  {
    id: "http-pipelined",
    group: "http",
    providers: BOTH,
    level: "MUST",
    what: "Of two requests on one connection each gets its own answer: the genuine one is accepted, the forged one refused.",
    reason: "Proxies share connections; bodies that are mixed up lose events, or let forgeries in.",
    source: "RFC 9112, section 9.3.2",
    run: async (s) => {
      const forged: Draft = { secret: `not-${s.options.secrets[0]}` };
      // What is accepted in any case says nothing of pipelines.
      if (isSuccess((await s.send(forged)).status)) throw new Unproven("a forgery is accepted in any case");
      const [first, second] = await pipelined(s, {}, forged);
      s.expects(
        first === undefined || (isSuccess(first) && !isSuccess(second)),
        "2xx, then a refusal",
        `${first}, then ${second}`,
      );
      const [refused, good] = await pipelined(s, forged, {});
      s.expects(
        !isSuccess(refused) && (good === undefined || isSuccess(good)),
        "a refusal, then 2xx",
        `${refused}, then ${good}`,
      );
    },
  },
  {
    id: "http-length-twice",
    group: "http",
    providers: BOTH,
    level: "SHOULD",
    what: "A delivery with two different lengths is not accepted.",
    reason: "A proxy in front may take the other one, and see other requests than the endpoint does.",
    source: "RFC 9112, section 6.3",
    run: async (s) => {
      for (const order of [
        [0, -1],
        [-1, 0],
      ]) {
        const lines = (length: number) =>
          order.map((less) => ["Content-Length", String(length + less)] as const);
        const status = await s.sendsWith(lines).catch(unlessClosed);
        s.expects(!isSuccess(status), "a refusal", String(status));
      }
    },
  },
  {
    id: "http-method",
    group: "http",
    providers: BOTH,
    level: "SHOULD",
    what: "Deliveries are accepted by POST only.",
    reason: "Caches and crawlers repeat GET, and PUT is nothing that a provider sends.",
    source: 'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Receiving": POST',
    run: (s) => s.refuses(...["GET", "PUT", "PATCH", "DELETE"].map((method) => ({ method }))),
  },
  {
    id: "http-allow",
    group: "http",
    providers: BOTH,
    level: "MAY",
    what: "Another method is answered with 405 and `Allow: POST`.",
    reason: "It says at once what is wrong; 404 has people look for another path.",
    source: "RFC 9110, section 15.5.6",
    run: async (s) => {
      const { status, headers } = await s.send({ method: "PUT" });
      const allow = headers.allow ?? "";
      s.expects(
        status === 405 && /\bPOST\b/.test(allow),
        "405, Allow: POST",
        `${status}, Allow: ${s.cleaned(allow)}`,
      );
    },
  },
  {
    id: "http-path",
    group: "http",
    providers: BOTH,
    level: "MAY",
    what: "A delivery to another path is not accepted.",
    reason: "A wrong URL in a subscription shows at once.",
    source: "RFC 9110, section 15.5.5",
    run: (s) => {
      const { pathname } = s.options.url;
      return s.refuses({ path: `${pathname.replace(/\/$/, "")}/crowdhook-audit-elsewhere` });
    },
  },
  {
    id: "http-content-type",
    group: "http",
    providers: BOTH,
    level: "MUST",
    what: "`Content-Type` is read in any case, with a charset, and with the white space that it may have.",
    reason: "It means the same; who compares it as text loses the event.",
    source: "RFC 9110, section 8.3.1",
    run: (s) =>
      s.accepts(
        contentType("application/json; charset=utf-8"),
        contentType('application/json;charset="UTF-8"'),
        contentType("Application/JSON"),
      ),
  },
  {
    id: "http-content-type-other",
    group: "http",
    providers: BOTH,
    level: "SHOULD",
    what: "A signed delivery with another `Content-Type` is answered below 500, whatever body parsers make of it.",
    reason: NO_FAILURE,
    source: JSON_TYPE,
    run: (s) =>
      s.answersWith(
        "an answer below 500",
        ...[
          "text/plain",
          "application/octet-stream",
          "application/x-www-form-urlencoded",
          "multipart/form-data",
          "application/json; charset=utf-7",
          "garbage",
        ].map(contentType),
      ),
  },
  {
    id: "http-content-encoding",
    group: "http",
    providers: BOTH,
    level: "SHOULD",
    what: "A compressed delivery, or one that says so and is not, is answered below 500.",
    reason: "No provider compresses. It may be read or refused; it is no failure of the app.",
    source: "RFC 9110, sections 8.4 and 15.5.16",
    run: (s) => {
      const events = [s.event()];
      const gzip = gzipSync(s.provider.compose(events));
      const encoded = (value: string, body?: Uint8Array): Draft => ({
        headers: [["Content-Encoding", value]],
        ...(body && { events, body }),
      });
      return s.answersWith("an answer below 500", encoded("gzip", gzip), encoded("gzip"), encoded("garbage"));
    },
  },
];

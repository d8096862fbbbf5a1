import { gzipSync } from "node:zlib";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import { NoAnswer } from "../exchange.js";
import { CheckSkipped } from "../outcome.js";
import { isSuccess, type Session } from "../session.js";

const JSON_TYPE = 'Toloka\'s documentation, "Event authentication": Content-Type is application/json';

const NO_FAILURE = "The endpoint may read or refuse it, but it is not a failure of the app.";

const withContentType = (value: string): Draft => ({ headers: [["Content-Type", value]] });

/** Makes the body long enough to send in pieces. */
const LONG_NOTE = { note: "x".repeat(2_000) };

// Closing a connection early is correct: the provider sends the rest again.
function unlessClosed(error: unknown): undefined {
  if (!(error instanceof NoAnswer && error.why === "closed")) throw error;
}

async function sendPipelined(session: Session, ...drafts: readonly Draft[]): Promise<readonly number[]> {
  return (await session.sendPipelined(...drafts).catch(unlessClosed)) ?? [];
}

export const HTTP_CHECKS: readonly RunnableCheck[] = [
  {
    id: "http-chunked",
    group: "http",
    level: "MUST",
    requirement: "A delivery in chunks, without a `Content-Length`, is accepted.",
    reason:
      "Senders and proxies may send chunks. An endpoint that cannot read them sees an empty body and loses the event.",
    source: "RFC 9112, section 7.1: a recipient must be able to parse chunks",
    run: (session) =>
      session.expectAccepted({ events: [session.event(LONG_NOTE)], chunked: true, pieces: 7 }),
  },
  {
    id: "http-slow",
    group: "http",
    level: "MUST",
    requirement: "A delivery whose body takes most of a second to arrive is accepted.",
    reason: "Networks stall. An endpoint that reads only the first piece of a body loses the event.",
    source: "RFC 9112, section 6: a message ends where its length says",
    run: (session) => session.expectAccepted({ events: [session.event(LONG_NOTE)], pieces: 4, pause: 250 }),
  },
  {
    id: "http-broken-off",
    group: "http",
    level: "MUST",
    requirement: "If a sender hangs up in the middle of a body, the next delivery is still accepted.",
    reason: "Connections break every day, and an unhandled error ends the process.",
    source: "RFC 9112, section 8: a message that is cut off is incomplete",
    run: async (session) => {
      for (const how of ["end", "reset", "end", "reset"] as const) {
        await session.sendHalf({ events: [session.event(LONG_NOTE)] }, how);
        await session.expectAccepted({});
      }
    },
  },
  {
    id: "http-pipelined",
    group: "http",
    level: "MUST",
    requirement:
      "If one connection carries a genuine and a forged request, only the genuine one is accepted.",
    reason: "Proxies share connections. An endpoint that mixes up bodies loses events or accepts forgeries.",
    source: "RFC 9112, section 9.3.2",
    run: async (session) => {
      const forged: Draft = { secret: session.wrongSecret };
      // If the endpoint accepts any forgery, this check cannot tell the two requests apart.
      if (isSuccess((await session.send(forged)).status))
        throw new CheckSkipped("the endpoint accepts forgeries anyway");
      const [first, second] = await sendPipelined(session, {}, forged);
      session.expect(
        first === undefined || (isSuccess(first) && !isSuccess(second)),
        "2xx, then a refusal",
        `${first}, then ${second}`,
      );
      const [refused, good] = await sendPipelined(session, forged, {});
      session.expect(
        !isSuccess(refused) && (good === undefined || isSuccess(good)),
        "a refusal, then 2xx",
        `${refused}, then ${good}`,
      );
    },
  },
  {
    id: "http-length-twice",
    group: "http",
    level: "SHOULD",
    requirement: "A delivery with two different `Content-Length` headers is refused.",
    reason: "A proxy in front may use the other length and see other requests than the endpoint does.",
    source: "RFC 9112, section 6.3",
    run: async (session) => {
      for (const order of [
        [0, -1],
        [-1, 0],
      ]) {
        const lines = (length: number) =>
          order.map((less) => ["Content-Length", String(length + less)] as const);
        const status = await session.sendWithLengths(lines).catch(unlessClosed);
        session.expect(!isSuccess(status), "a refusal", String(status));
      }
    },
  },
  {
    id: "http-method",
    group: "http",
    level: "SHOULD",
    requirement: "A delivery with a method other than POST is refused.",
    reason: "Caches and crawlers repeat GET, and no provider sends PUT, PATCH or DELETE.",
    source: 'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Receiving": POST',
    run: (session) =>
      session.expectRefused(...["GET", "PUT", "PATCH", "DELETE"].map((method) => ({ method }))),
  },
  {
    id: "http-allow",
    group: "http",
    level: "MAY",
    requirement: "A method other than POST is answered with 405 and `Allow: POST`.",
    reason: "It names the mistake at once, while 404 makes people look for another path.",
    source: "RFC 9110, section 15.5.6",
    run: async (session) => {
      const { status, headers } = await session.send({ method: "PUT" });
      const allow = headers.allow ?? "";
      session.expect(
        status === 405 && /\bPOST\b/.test(allow),
        "405, Allow: POST",
        `${status}, Allow: ${session.redaction.clean(allow)}`,
      );
    },
  },
  {
    id: "http-path",
    group: "http",
    level: "MAY",
    requirement: "A delivery to another path is refused.",
    reason: "A subscription with a wrong URL then fails at once.",
    source: "RFC 9110, section 15.5.5",
    run: (session) => {
      const { pathname } = session.options.url;
      return session.expectRefused({ path: `${pathname.replace(/\/$/, "")}/crowdhook-audit-elsewhere` });
    },
  },
  {
    id: "http-content-type",
    group: "http",
    level: "MUST",
    requirement: "`Content-Type` is accepted in any case, with a charset, and with optional white space.",
    reason: "These forms mean the same. An endpoint that compares the text loses the event.",
    source: "RFC 9110, section 8.3.1",
    run: (session) =>
      session.expectAccepted(
        withContentType("application/json; charset=utf-8"),
        withContentType('application/json;charset="UTF-8"'),
        withContentType("Application/JSON"),
      ),
  },
  {
    id: "http-content-type-other",
    group: "http",
    level: "SHOULD",
    requirement: "A signed delivery with another `Content-Type` is answered with a status below 500.",
    reason: NO_FAILURE,
    source: JSON_TYPE,
    run: (session) =>
      session.expectStatus(
        "an answer below 500",
        ...[
          "text/plain",
          "application/octet-stream",
          "application/x-www-form-urlencoded",
          "multipart/form-data",
          "application/json; charset=utf-7",
          "garbage",
        ].map(withContentType),
      ),
  },
  {
    id: "http-content-encoding",
    group: "http",
    level: "SHOULD",
    requirement:
      "A delivery with `Content-Encoding`, compressed or not, is answered with a status below 500.",
    reason: `No provider compresses deliveries. ${NO_FAILURE}`,
    source: "RFC 9110, sections 8.4 and 15.5.16",
    run: (session) => {
      const events = [session.event()];
      const gzip = gzipSync(session.sender.composeBody(events));
      const encoded = (value: string, body?: Uint8Array): Draft => ({
        headers: [["Content-Encoding", value]],
        ...(body && { events, body }),
      });
      return session.expectStatus(
        "an answer below 500",
        encoded("gzip", gzip),
        encoded("gzip"),
        encoded("garbage"),
      );
    },
  },
];

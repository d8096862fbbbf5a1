import type { StoredAnswer } from "@crowdhook/core/internal";
import { Failure } from "../output.js";
import { type HandledRequest, verdictOf } from "./handled.js";

/** Returns the answer to a delivery, for its file. */
export function answeredOf(handled: HandledRequest): StoredAnswer {
  const { reply, forwarded } = handled;
  const verdict = verdictOf(handled);
  if (!forwarded) {
    const answer = reply && {
      status: reply.status,
      headers: Object.entries(reply.headers),
      body: Buffer.from(reply.body),
    };
    return { verdict, answer };
  }
  const { url, answer, failure } = forwarded;
  if (!answer) return { verdict, forwardedTo: url.href, failure: failure.message };
  const { status, headers, body, milliseconds } = answer;
  return { verdict, forwardedTo: url.href, answer: { status, headers, body }, milliseconds };
}

/** Returns the reply, or the app's answer, as it was before the answer was stored. */
export function answerIn(answered: StoredAnswer | undefined): Pick<HandledRequest, "reply" | "forwarded"> {
  const { forwardedTo, failure, answer, milliseconds = 0 } = answered ?? {};
  const url = forwardedTo === undefined ? undefined : new URL(forwardedTo);
  if (url && failure !== undefined) return { forwarded: { url, failure: new Failure(failure) } };
  if (!answer) return {};
  const { status, headers } = answer;
  const body = Buffer.from(answer.body);
  if (url) return { forwarded: { url, answer: { status, headers, body, milliseconds } } };
  return { reply: { status, headers: Object.fromEntries(headers), body: body.toString() } };
}

import { type Inspection, inspect } from "@crowdhook/core/inspect";
import { headersOf, kindOf } from "@crowdhook/core/internal";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import type { AnswerDetail, Detail, SignatureDetail } from "../wire.js";
import type { Captured, CapturedAnswer, Source } from "./captured.js";
import { eventDetails } from "./captured.js";
import { createHiding, type Hiding, secretsOf } from "./hiding.js";
import type { Entry } from "./store.js";

/** A page with more marks than this shows the first ones. */
const DIFFERENCES_SHOWN = 2_000;

/** Returns who writes and signs deliveries of a provider; `undefined` for a provider of the app's own. */
export function senderOf({ provider }: Source): Sender | undefined {
  return SENDERS.find((sender) => sender.provider.name === provider.name);
}

/** Returns what a receiver finds in a delivery at the time of its arrival; `undefined` if nothing can be found. */
export async function inspectCaptured(
  captured: Captured,
  sources: readonly Source[],
): Promise<{ readonly inspection: Inspection; readonly secrets: number } | undefined> {
  const { source, headers, body, receivedAt } = captured;
  const { own, others } = await secretsOf(captured, sources);
  if (source === undefined || body === undefined || own === undefined) return undefined;
  const { provider, tolerance } = source;
  const delivery = { headers: headersOf(headers), body };
  const options = { secrets: own, otherSecrets: others, tolerance, now: receivedAt };
  const inspection = await inspect(provider, delivery, options).catch(() => undefined);
  return inspection && { inspection, secrets: own.length };
}

/** Returns the cause of a refusal and the events of the refused body; an empty object if it cannot. */
export async function explainCaptured(
  captured: Captured,
  sources: readonly Source[],
): Promise<Partial<Captured>> {
  const inspected = await inspectCaptured(captured, sources);
  if (inspected === undefined || captured.source === undefined) return {};
  const { reason = captured.reason, events } = inspected.inspection;
  const found = events.map((event) => ({ event }));
  return { reason, events: eventDetails(captured.source.provider, found, false) };
}

export async function hidingFor(captured: Captured, sources: readonly Source[]): Promise<Hiding> {
  const { own = [], others } = await secretsOf(captured, sources);
  return createHiding([...own, ...others]);
}

export async function detailOf({ row, captured }: Entry, sources: readonly Source[]): Promise<Detail> {
  const { method, path, headers, body, reply, forwarded, source, events } = captured;
  const hiding = await hidingFor(captured, sources);
  const sender = source && senderOf(source);
  const canReplay = source !== undefined && body !== undefined && method === "POST";
  const secrets = (await secretsOf(captured, sources)).own ?? [];
  return hiding.json<Detail>({
    row,
    method,
    path,
    headers: hiding.headers(headers),
    bytes: body?.byteLength,
    isBodyHidden: body !== undefined && hiding.bytes(body) !== body,
    signature: await signatureOf(captured, sources),
    reply: reply && answerOf(reply, hiding),
    forwarded: forwarded && {
      url: forwarded.url,
      ...(forwarded.answer && { answer: answerOf(forwarded.answer, hiding) }),
      ...(forwarded.failure !== undefined && { failure: forwarded.failure }),
    },
    can: {
      replay: canReplay,
      sign: canReplay && sender !== undefined && secrets.length > 0,
      sendAsNew: canReplay && sender !== undefined && events.length > 0,
    },
  });
}

async function signatureOf(
  captured: Captured,
  sources: readonly Source[],
): Promise<SignatureDetail | undefined> {
  try {
    const inspected = await inspectCaptured(captured, sources);
    if (inspected === undefined) return undefined;
    const { code, reason, secret, age, mismatch } = inspected.inspection;
    return {
      code,
      reason,
      secret: secret === undefined ? undefined : secret + 1,
      secrets: inspected.secrets,
      age,
      mismatch: mismatch && {
        name: mismatch.name,
        about: mismatch.about,
        differences: mismatch.differences.slice(0, DIFFERENCES_SHOWN),
      },
    };
  } catch (error) {
    const reason = `The delivery could not be inspected (${kindOf(error)}).`;
    return { code: undefined, reason, secret: undefined, secrets: 0, age: undefined, mismatch: undefined };
  }
}

function answerOf({ status, headers, body }: CapturedAnswer, hiding: Hiding): AnswerDetail {
  return { status, headers: hiding.headers(headers), body };
}

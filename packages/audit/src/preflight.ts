import { identifiesBySignature } from "./capabilities.js";
import { type Answer, NoAnswer } from "./exchange.js";
import { CheckFailed } from "./outcome.js";
import { isSuccess, type Session } from "./session.js";

/** The endpoint cannot be audited. The message names the cause and the fix. */
export class AuditError extends Error {
  override readonly name = "AuditError";

  constructor(
    /** In this order: no answer, the first good delivery is refused, the report route does not work. */
    readonly code: "UNREACHABLE" | "NOT_ACCEPTED" | "REPORT_UNUSABLE",
    message: string,
  ) {
    super(message);
  }
}

/**
 * Sends one good delivery, so that a wrong URL or secret is one clear error and not a failure of every check.
 *
 * @throws AuditError
 */
export async function preflight(session: Session): Promise<void> {
  const { url, report, secrets } = session.options;
  const delivery = session.delivery();
  let answer: Answer;
  try {
    answer = await session.send(delivery);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    throw new AuditError("UNREACHABLE", describeSilence(url.host, error));
  }
  if (!isSuccess(answer.status)) {
    const which = secrets.length > 1 ? "the first secret" : "the secret";
    throw new AuditError(
      "NOT_ACCEPTED",
      `A good delivery, signed with ${which}, is not accepted: ${session.redaction.describe(answer)}. ${suggestCause(answer.status)}`,
    );
  }
  if (!report) return;
  try {
    await session.expectHandled(delivery.ids);
  } catch (error) {
    if (!(error instanceof NoAnswer || error instanceof CheckFailed)) throw error;
    const problem =
      error instanceof NoAnswer
        ? `gives no answer: ${error.message}`
        : `does not show that a good delivery was handled: expected ${error.expected}, seen ${error.seen}`;
    throw new AuditError(
      "REPORT_UNUSABLE",
      `The report route ${problem}. It must list the ids of all ${session.sender.defaultType} events that were handled.${describeIds(session)}`,
    );
  }
}

function describeIds({ sender }: Session): string {
  if (!identifiesBySignature(sender)) return "";
  return ` ${sender.provider.title} sends no ids, so the id is the digest of the signature in lower-case hex.`;
}

function describeSilence(host: string, { why, message }: NoAnswer): string {
  switch (why) {
    case "refused":
      return `Nothing listens at ${host}: ${message}. Is the app running, and is the port right?`;
    case "unreachable":
      return `${host} cannot be reached: ${message}. Is the host right and, with https, its certificate trusted?`;
    case "closed":
      return `${host} does not answer a good delivery: ${message}. Is it a web server, and is http or https right?`;
    case "late":
      return `${host} does not answer a good delivery: ${message}. Does it wait for another service?`;
  }
}

function suggestCause(status: number): string {
  if (status === 401 || status === 403) {
    return "Probably the endpoint has another secret, or does not compute the signature over the raw body.";
  }
  if (status === 404) return "Is the path right?";
  if (status >= 300 && status < 400) return "Pass the URL that it redirects to.";
  if (status >= 500) return "The app failed. Its log may say why.";
  return "Does the app receive webhooks of this provider at this path?";
}

import { Unmet } from "./check.js";
import { type Answer, NoAnswer } from "./exchange.js";
import { isSuccess, type Session } from "./session.js";

/** Why there is nothing to audit. The message says what to do about it. */
export class AuditError extends Error {
  override readonly name = "AuditError";

  constructor(
    /** Nothing answers; the first good delivery is not accepted; the report route does not work. */
    readonly code: "UNREACHABLE" | "NOT_ACCEPTED" | "REPORT_UNUSABLE",
    message: string,
  ) {
    super(message);
  }
}

/**
 * Finds out whether there is anything to audit, before all checks fail for one reason.
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
    throw new AuditError("UNREACHABLE", unreachable(url.host, error));
  }
  if (!isSuccess(answer.status)) {
    const which = secrets.length > 1 ? "the first secret" : "the secret";
    throw new AuditError(
      "NOT_ACCEPTED",
      `A good delivery, signed with ${which}, is not accepted: ${session.seen(answer)}. ${causeOf(answer.status)}`,
    );
  }
  if (!report) return;
  try {
    await session.handles(delivery.ids);
  } catch (error) {
    if (!(error instanceof NoAnswer || error instanceof Unmet)) throw error;
    const what =
      error instanceof NoAnswer
        ? `gives no answer: ${error.message}`
        : `does not show that a good delivery was handled: expected ${error.expected}, seen ${error.seen}`;
    throw new AuditError(
      "REPORT_UNUSABLE",
      `The report route ${what}. It has to list the ids of all ${session.provider.mainType} events that were handled.`,
    );
  }
}

function unreachable(host: string, { why, message }: NoAnswer): string {
  switch (why) {
    case "refused":
      return `Nothing listens at ${host}: ${message}. Is the app running, and is the port right?`;
    case "unreachable":
      return `${host} cannot be reached: ${message}. Is the host right and, with https, its certificate trusted?`;
    case "closed":
      return `${host} does not answer a good delivery: ${message}. Is it a web server, and is http or https right?`;
    case "late":
      return `${host} does not answer a good delivery: ${message}. Does it wait for something?`;
  }
}

function causeOf(status: number): string {
  if (status === 401 || status === 403) {
    return "Probably the endpoint has another secret, or computes signatures over other bytes than were sent.";
  }
  if (status === 404) return "Is the path right?";
  if (status >= 300 && status < 400) return "Give the address that it redirects to.";
  if (status >= 500) return "The app failed: its log may say why.";
  return "Does the app receive webhooks of this provider here?";
}

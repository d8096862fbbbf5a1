import { describeValue } from "@crowdhook/core/internal";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import {
  appliesTo,
  type Check,
  describeCheck,
  LEVELS,
  type Level,
  type ProviderName,
  type RunnableCheck,
} from "./check.js";
import { RUNNABLE_CHECKS } from "./checks.js";
import { NoAnswer } from "./exchange.js";
import { CheckFailed, CheckSkipped, type Outcome } from "./outcome.js";
import { preflight } from "./preflight.js";
import { Session } from "./session.js";

/** The endpoint to audit, and how to sign its deliveries. */
export interface AuditOptions {
  /** The endpoint's URL, with its path. */
  readonly url: string;
  /** The name of a provider of this release, or the sender of a provider that the app has defined. */
  // biome-ignore lint/suspicious/noExplicitAny: a sender of any events
  readonly provider: ProviderName | Sender<any>;
  /** The endpoint's secrets. The first one signs. With a second one, the audit checks that it works too. */
  readonly secrets: readonly string[];
  /**
   * The report route: `GET` answers `{"handled": ["<event id>", …]}`. The app adds an event's id each time
   * it has handled the event, in that order. If the provider sends no id, the id is the digest of the
   * signature in lower-case hex. Without a report route, the checks that need it are skipped.
   */
  readonly report?: string | undefined;
  /** The time limit for one answer, in seconds. Default 5. */
  readonly timeout?: number | undefined;
  /** The ids of the checks to run. Default: all checks of the provider. */
  readonly only?: readonly string[] | undefined;
  /** Ends the audit, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Runs after each check. */
  readonly onResult?: ((result: CheckResult) => void) | undefined;
}

/** A check with its outcome. */
export type CheckResult = Check & Outcome;

/** The verdict on an endpoint, with the result of each check. */
export interface AuditReport {
  readonly provider: ProviderName;
  /** Without its query, which may be confidential. */
  readonly url: string;
  /**
   * `"unsafe"`: a MUST failed. `"safe"`: every MUST passed. `"unproven"`: no MUST failed, but at least one
   * was skipped or left out by `only`. A check that needs two secrets counts only if there are two.
   */
  readonly verdict: "safe" | "unsafe" | "unproven";
  readonly counts: Readonly<Record<Level, Readonly<Record<CheckResult["status"], number>>>>;
  readonly seconds: number;
  readonly results: readonly CheckResult[];
}

/** After this many requests that timed out, the audit skips the remaining checks. */
const MAX_TIMED_OUT = 5;
/** The audit starts no check after this time, in milliseconds. */
const MAX_DURATION = 120_000;

/** This check runs even if the others are skipped: it reports since when the endpoint has been down. */
const LAST_CHECK = "end-alive";
const DOWN = "the endpoint is down";

/**
 * Runs the checks one after another: sends the endpoint about 300 deliveries and judges the answers.
 * The endpoint handles the events in the good deliveries, although they are made up.
 *
 * @throws AuditError if the endpoint cannot be audited, and TypeError if an option is wrong.
 */
export async function audit(options: AuditOptions): Promise<AuditReport> {
  const { onResult } = options;
  const { session, checks } = prepare(options);
  const began = performance.now();
  await preflight(session);
  const results: CheckResult[] = [];
  let previous = "the first delivery";
  for (const check of checks) {
    options.signal?.throwIfAborted();
    const isOver = session.timedOut >= MAX_TIMED_OUT || performance.now() - began > MAX_DURATION;
    const why = reasonToSkip(check, session, isOver);
    const outcome: Outcome = why ? { status: "skipped", why } : await runCheck(check, session, previous);
    const result = { ...describeCheck(check), ...outcome };
    results.push(result);
    onResult?.(result);
    if (!why) previous = check.id;
  }
  return createReport(session, results, began);
}

function prepare(options: AuditOptions): { session: Session; checks: readonly RunnableCheck[] } {
  const { secrets, timeout = 5, only, signal } = options;
  const sender = findSender(options.provider);
  const [secret, ...others] = Array.isArray(secrets) ? secrets : [];
  if (secret === undefined || ![secret, ...others].every((secret) => typeof secret === "string" && secret)) {
    throw new TypeError("`secrets` must be a list of at least one non-empty string.");
  }
  if (!(typeof timeout === "number" && timeout > 0 && timeout <= 60)) {
    throw new TypeError(
      `\`timeout\` must be a number of seconds, above 0 and at most 60, not ${describeValue(timeout)}.`,
    );
  }
  const all = RUNNABLE_CHECKS.filter((check) => appliesTo(check, sender));
  for (const id of only ?? []) {
    if (!all.some((check) => check.id === id)) {
      throw new TypeError(
        `\`only\`: there is no check ${describeValue(id)} for ${sender.provider.title}. \`CHECKS\` lists all checks.`,
      );
    }
  }
  const session = new Session({
    url: parseUrl("url", options.url),
    sender,
    secrets: [secret, ...others],
    report: options.report === undefined ? undefined : parseUrl("report", options.report),
    timeout: timeout * 1000,
    signal,
  });
  return { session, checks: only ? all.filter(({ id }) => only.includes(id)) : all };
}

function findSender(given: AuditOptions["provider"]): Sender {
  if (isSender(given)) return given;
  const sender = SENDERS.find(({ provider }) => provider.name === given);
  if (sender) return sender;
  const names = SENDERS.map(({ provider }) => `"${provider.name}"`).join(", ");
  throw new TypeError(`\`provider\` must be ${names} or a sender, not ${describeValue(given)}.`);
}

function isSender(given: AuditOptions["provider"]): given is Sender {
  return typeof given === "object" && typeof given?.composeBody === "function";
}

function parseUrl(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`\`${option}\` must begin with http:// or https://.`);
  }
  if (url.username || url.password) {
    throw new TypeError(`\`${option}\` must not contain a user name or a password.`);
  }
  return url;
}

function reasonToSkip(check: RunnableCheck, session: Session, isOver: boolean): string | undefined {
  const { secrets, report } = session.options;
  if (check.needs === "two secrets" && secrets.length < 2) return "there is one secret only";
  if (check.needs === "report" && !report) return "there is no report route";
  if (check.id === LAST_CHECK) return undefined;
  if (session.isDown) return DOWN;
  return isOver ? "the endpoint takes too long" : undefined;
}

/** Runs a check. @param previous The id of the check before it. */
async function runCheck(check: RunnableCheck, session: Session, previous: string): Promise<Outcome> {
  session.begin(check.id);
  try {
    await check.run(session);
    return { status: "passed" };
  } catch (error) {
    if (error instanceof CheckSkipped) return { status: "skipped", why: error.message };
    if (error instanceof CheckFailed) return { status: "failed", expected: error.expected, seen: error.seen };
    if (!(error instanceof NoAnswer)) throw error;
    // If the first connection of a check is refused, the check before it ended the endpoint.
    const wasDown = error.why === "refused" && session.completed === 0 && previous !== check.id;
    const health = await session.checkHealth();
    if (wasDown || health !== "well") session.downAfter ??= wasDown ? previous : check.id;
    session.isDown = health === "dead";
    if (!wasDown) return { status: "failed", expected: "an answer", seen: `no answer: ${error.message}` };
    return session.isDown ? { status: "skipped", why: DOWN } : runCheck(check, session, check.id);
  }
}

function createReport(session: Session, results: readonly CheckResult[], began: number): AuditReport {
  const { url, sender, secrets } = session.options;
  const count = (level: Level, status: CheckResult["status"]) =>
    results.filter((result) => result.level === level && result.status === status).length;
  const counts = Object.fromEntries(
    LEVELS.map((level) => [
      level,
      { passed: count(level, "passed"), failed: count(level, "failed"), skipped: count(level, "skipped") },
    ]),
  ) as AuditReport["counts"];
  const required = RUNNABLE_CHECKS.filter(
    (check) =>
      check.level === "MUST" &&
      appliesTo(check, sender) &&
      !(check.needs === "two secrets" && secrets.length < 2),
  );
  const verdict =
    counts.MUST.failed > 0 ? "unsafe" : counts.MUST.passed === required.length ? "safe" : "unproven";
  return {
    provider: sender.provider.name,
    url: url.origin + url.pathname,
    verdict,
    counts,
    seconds: Number(((performance.now() - began) / 1000).toFixed(1)),
    results,
  };
}

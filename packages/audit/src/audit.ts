import { type Check, LEVELS, type Level, type RunnableCheck, Unmet, Unproven } from "./check.js";
import { RUNNABLE_CHECKS } from "./checks.js";
import { NoAnswer } from "./exchange.js";
import { preflight } from "./preflight.js";
import { PROVIDERS, type ProviderName } from "./providers.js";
import { Session } from "./session.js";

export interface AuditOptions {
  /** The endpoint's, with its path. */
  readonly url: string;
  readonly provider: ProviderName;
  /** Those that the endpoint has. With a second one, it is found out whether that is accepted as well. */
  readonly secrets: readonly string[];
  /**
   * Where the app tells which events it has handled: `GET` answers `{"handled": ["<event id>", …]}`, in
   * the order in which their handling ended well, an id for every time. Without it the checks that
   * need to know this are skipped.
   */
  readonly report?: string | undefined;
  /** How long one answer may take, in seconds. Default 5. */
  readonly timeout?: number | undefined;
  /** The ids of the checks to make. Default: all of the provider. */
  readonly only?: readonly string[] | undefined;
  /** Ends the audit, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Is given each result as soon as it is there. */
  readonly onResult?: ((result: CheckResult) => void) | undefined;
}

/** A check, and what came of it. */
export type CheckResult = Check & Outcome;

type Outcome =
  | { readonly status: "passed" }
  | {
      readonly status: "failed";
      readonly expected: string;
      /** What was answered: the status and the beginning of the body, without anything confidential. */
      readonly seen: string;
    }
  | { readonly status: "skipped"; readonly why: string };

export interface AuditReport {
  readonly provider: ProviderName;
  /** Without its query, which may be confidential. */
  readonly url: string;
  /**
   * Unsafe: a MUST failed. Safe: all MUSTs passed. Unproven: none failed, but some were skipped, or not
   * asked for; what takes two secrets does not count where there is one.
   */
  readonly verdict: "safe" | "unsafe" | "unproven";
  readonly counts: Readonly<Record<Level, Readonly<Record<CheckResult["status"], number>>>>;
  readonly seconds: number;
  readonly results: readonly CheckResult[];
}

/** After so many answers that were not there in time, no more are waited for. */
const LATE_MAX = 5;
/** No check is begun after that, in milliseconds. */
const DURATION_MAX = 120_000;

/**
 * Makes the checks, one after another: sends the endpoint some 300 deliveries and judges what it
 * answers. The events among them are made up, but genuine to the endpoint: it handles them.
 *
 * @throws AuditError if there is nothing to audit, and TypeError for options that cannot work.
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
    const isOver = session.late >= LATE_MAX || performance.now() - began > DURATION_MAX;
    // The last one is always made, and says since when.
    const isLast = check.id === "end-alive";
    const why =
      lacking(check, session.options) ??
      (isLast ? undefined : session.isDown ? DOWN : isOver ? "the endpoint takes too long" : undefined);
    const outcome: Outcome = why ? { status: "skipped", why } : await outcomeOf(check, session, previous);
    const { run, ...data } = check;
    const result = { ...data, ...outcome };
    results.push(result);
    onResult?.(result);
    if (!why) previous = check.id;
  }
  return reportOf(session, results, began);
}

function prepare(options: AuditOptions): { session: Session; checks: readonly RunnableCheck[] } {
  const { secrets, timeout = 5, only, signal } = options;
  const provider = Object.hasOwn(PROVIDERS, options.provider) ? PROVIDERS[options.provider] : undefined;
  if (!provider)
    throw new TypeError(`provider must be "toloka" or "prolific", not ${shown(options.provider)}.`);
  const [secret, ...others] = Array.isArray(secrets) ? secrets : [];
  if (secret === undefined || ![secret, ...others].every((secret) => typeof secret === "string" && secret)) {
    throw new TypeError("secrets must be a list of at least one string that is not empty.");
  }
  if (!(typeof timeout === "number" && timeout > 0 && timeout <= 60)) {
    throw new TypeError(
      `timeout must be a number of seconds, above 0 and at most 60, not ${shown(timeout)}.`,
    );
  }
  const all = RUNNABLE_CHECKS.filter(({ providers }) => providers.includes(provider.name));
  for (const id of only ?? []) {
    if (!all.some((check) => check.id === id)) {
      throw new TypeError(`only: there is no check ${shown(id)} for ${provider.title}. CHECKS has all.`);
    }
  }
  const session = new Session({
    url: urlOf("url", options.url),
    provider,
    secrets: [secret, ...others],
    report: options.report === undefined ? undefined : urlOf("report", options.report),
    timeout: timeout * 1000,
    signal,
  });
  return { session, checks: only ? all.filter(({ id }) => only.includes(id)) : all };
}

function urlOf(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`${option} must begin with http:// or https://.`);
  }
  if (url.username || url.password) throw new TypeError(`${option} must not hold a user name or a password.`);
  return url;
}

/** What of a check's needs is not there. */
function lacking({ needs }: Check, { secrets, report }: Session["options"]): string | undefined {
  if (needs === "two secrets" && secrets.length < 2) return "there is one secret only";
  if (needs === "report" && !report) return "there is no report route";
  return undefined;
}

/** Makes a check. `previous` is the check before. */
async function outcomeOf(check: RunnableCheck, session: Session, previous: string): Promise<Outcome> {
  session.begin(check.id);
  try {
    await check.run(session);
    return { status: "passed" };
  } catch (error) {
    if (error instanceof Unproven) return { status: "skipped", why: error.message };
    if (error instanceof Unmet) return { status: "failed", expected: error.expected, seen: error.seen };
    if (!(error instanceof NoAnswer)) throw error;
    // Where nothing listens from the beginning, it is what came before that ended it.
    const wasDown = error.why === "refused" && session.answered === 0 && previous !== check.id;
    const health = await session.health();
    if (wasDown || health !== "well") session.downAfter ??= wasDown ? previous : check.id;
    session.isDown = health === "dead";
    if (!wasDown) return { status: "failed", expected: "an answer", seen: `no answer: ${error.message}` };
    return session.isDown ? { status: "skipped", why: DOWN } : outcomeOf(check, session, check.id);
  }
}

const DOWN = "the endpoint is down";

function reportOf(session: Session, results: readonly CheckResult[], began: number): AuditReport {
  const { url, provider, secrets } = session.options;
  const count = (level: Level, status: CheckResult["status"]) =>
    results.filter((result) => result.level === level && result.status === status).length;
  const counts = Object.fromEntries(
    LEVELS.map((level) => [
      level,
      { passed: count(level, "passed"), failed: count(level, "failed"), skipped: count(level, "skipped") },
    ]),
  ) as AuditReport["counts"];
  const needed = RUNNABLE_CHECKS.filter(
    ({ level, providers, needs }) =>
      level === "MUST" &&
      providers.includes(provider.name) &&
      !(needs === "two secrets" && secrets.length < 2),
  );
  const verdict =
    counts.MUST.failed > 0 ? "unsafe" : counts.MUST.passed === needed.length ? "safe" : "unproven";
  return {
    provider: provider.name,
    url: url.origin + url.pathname,
    verdict,
    counts,
    seconds: Number(((performance.now() - began) / 1000).toFixed(1)),
    results,
  };
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

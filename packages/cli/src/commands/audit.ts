import { writeFile } from "node:fs/promises";
import {
  AuditError,
  type AuditReport,
  audit,
  CHECKS,
  type Check,
  type CheckResult,
  toBadge,
  toJUnit,
  toTap,
} from "@crowdhook/audit";
import type { Provider } from "@crowdhook/core";
import { suggestion } from "@crowdhook/core/internal";
import { endpoint } from "../http/endpoint.js";
import { colours, Failure, marked, print, printJson, UsageError } from "../output.js";
import { PROVIDERS, providerNamed } from "../providers.js";
import { askedSecrets, givenSecrets, type SecretOptions, secretsFor } from "../secrets.js";

export interface AuditCommandOptions extends SecretOptions {
  readonly list?: boolean;
  readonly provider?: string;
  readonly report?: string;
  readonly only?: readonly string[];
  readonly timeout: number;
  readonly json?: boolean;
  readonly junit?: string;
  readonly tap?: string;
  readonly badge?: string;
}

/** Resolves with `true` if no MUST failed. */
export async function auditEndpoint(url: string | undefined, options: AuditCommandOptions): Promise<boolean> {
  const { only, timeout, json, junit, tap, badge } = options;
  if (options.list) return list(options);
  if (url === undefined) throw new UsageError("Pass the URL of the endpoint, or --list.");
  if (timeout > 60) throw new UsageError("--timeout must be at most 60 seconds.");
  const to = endpoint(url, "The URL", { needsScheme: true });
  const provider = providerNamed(options.provider) ?? providerOf(to("/"), options);
  const report =
    options.report === undefined
      ? undefined
      : endpoint(options.report, "--report", { needsScheme: true })("/").href;
  for (const id of only ?? []) checkId(id, provider);
  const secrets = await askedSecrets(provider, secretsFor(provider, options));
  const target = to(provider.defaultPath);

  if (!json) {
    const count = secrets.length === 1 ? "one secret" : `${secrets.length} secrets`;
    const route = report ? "a report route" : "no report route";
    print(`${provider.title} at ${target.origin}${target.pathname}, with ${count} and ${route}`);
  }
  let group: string | undefined;
  const show = (result: CheckResult) => {
    if (result.group !== group) {
      print();
      print(colours.bold(result.group));
    }
    group = result.group;
    printResult(result);
  };
  let auditReport: AuditReport;
  try {
    auditReport = await audit({
      url: target.href,
      provider: provider.name,
      secrets,
      report,
      timeout,
      only,
      onResult: json ? undefined : show,
    });
  } catch (error) {
    throw error instanceof AuditError ? new Failure(error.message) : error;
  }
  if (json) printJson(auditReport);
  else printVerdict(auditReport, report !== undefined);
  if (junit !== undefined) await write("--junit", junit, await toJUnit(auditReport));
  if (tap !== undefined) await write("--tap", tap, toTap(auditReport));
  if (badge !== undefined) await write("--badge", badge, await toBadge(auditReport));
  return auditReport.counts.MUST.failed === 0;
}

/** Finds the provider by the URL's path, or else by the secret that is set. */
function providerOf(url: URL, options: AuditCommandOptions): Provider {
  const path = url.pathname.toLowerCase();
  const inPath = PROVIDERS.filter(({ name }) => path.includes(name));
  const withSecret = options.secret ? [] : PROVIDERS.filter((provider) => givenSecrets(provider).length > 0);
  for (const [provider, ...others] of [inPath, withSecret]) {
    if (provider && others.length === 0) return provider;
  }
  throw new UsageError("The URL does not say whose webhooks it receives: pass --provider.");
}

function checksOf(provider: string | undefined): readonly Check[] {
  return CHECKS.filter(({ providers }) => {
    const names: readonly string[] = providers;
    return provider === undefined || names.includes(provider);
  });
}

function checkId(id: string, { name, title }: Provider): void {
  const ids = checksOf(name).map((check) => check.id);
  if (ids.includes(id)) return;
  throw new UsageError(
    `There is no check ${JSON.stringify(id)} for ${title}.${suggestion(id, ids)} crowdhook audit --list shows all.`,
  );
}

function list({ provider, json }: AuditCommandOptions): boolean {
  const checks = checksOf(provider);
  if (json) printJson(checks);
  else {
    for (const { id, providers, level, requirement } of checks) {
      const names = providers.length === PROVIDERS.length ? "all" : providers.join(", ");
      print(`${id.padEnd(ID_WIDTH)} ${level.padEnd(6)} ${names.padEnd(8)} ${requirement}`);
    }
  }
  return true;
}

const ID_WIDTH = Math.max(...CHECKS.map(({ id }) => id.length));

function printResult(result: CheckResult): void {
  const { id, level, requirement, reason, page } = result;
  const name = id.padEnd(ID_WIDTH);
  if (result.status === "passed") print(`  ${marked(true, `${name}  ${requirement}`)}`);
  else if (result.status === "skipped") print(colours.dim(`  – ${name}  skipped: ${result.why}`));
  else {
    const colour = level === "MUST" ? colours.red : colours.yellow;
    print(`  ${colour("✗")} ${name}  ${colour(level)}: ${requirement}`);
    const row = (title: string, text: string) => print(`      ${colours.dim(title.padEnd(9))} ${text}`);
    row("why", reason);
    row("expected", result.expected);
    row("seen", result.seen);
    row("page", page);
  }
}

function printVerdict({ verdict, counts, seconds, results }: AuditReport, hasReport: boolean): void {
  const { MUST, SHOULD, MAY } = counts;
  print();
  for (const [level, { passed, failed, skipped }] of Object.entries({ MUST, SHOULD, MAY })) {
    const rest = [failed && `${failed} failed`, skipped && `${skipped} skipped`].filter(Boolean).join(", ");
    print(`  ${colours.dim(level.padEnd(7))} ${passed} passed${rest && `, ${rest}`}`);
  }
  const took = `${results.length} checks in ${seconds} s`;
  if (verdict === "unsafe")
    print(marked(false, `Unsafe: ${MUST.failed === 1 ? "a MUST" : `${MUST.failed} MUSTs`} failed. ${took}.`));
  else if (verdict === "safe") print(marked(true, `Safe: every MUST passed. ${took}.`));
  else {
    const why = hasReport ? "some checks were left out" : "some checks need a report route: --report";
    print(`${colours.yellow("–")} Not proven: no MUST failed, but ${why}. ${took}.`);
  }
}

async function write(option: string, file: string, content: string): Promise<void> {
  await writeFile(file, content).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${option}: ${file} cannot be written: ${code}.`);
  });
}

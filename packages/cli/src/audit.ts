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
} from "@crowdhook/audit";
import { endpoint } from "./exchange.js";
import { colours, Failure, marked, plain, print, printJson, UsageError } from "./output.js";
import {
  askedSecrets,
  givenSecrets,
  nearest,
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  type SecretOptions,
  secretsFor,
} from "./providers.js";

export interface AuditCommandOptions extends SecretOptions {
  readonly list?: boolean;
  readonly provider?: ProviderName;
  readonly report?: string;
  readonly only?: readonly string[];
  readonly timeout: number;
  readonly json?: boolean;
  readonly junit?: string;
  readonly badge?: string;
}

/** Resolves with whether no MUST failed. */
export async function auditEndpoint(url: string | undefined, options: AuditCommandOptions): Promise<boolean> {
  const { only, timeout, json, junit, badge } = options;
  if (options.list) return list(options);
  if (url === undefined) throw new UsageError("Pass the URL of the endpoint, or --list.");
  if (timeout > 60) throw new UsageError("--timeout must be at most 60 seconds.");
  const to = endpoint(url, "The URL");
  const provider = options.provider ?? providerOf(url, options);
  const report = options.report === undefined ? undefined : endpoint(options.report, "--report")("/").href;
  for (const id of only ?? []) checkId(id, provider);
  const secrets = await askedSecrets(provider, secretsFor(provider, options));
  const target = to(PROVIDERS[provider].provider.defaultPath);

  if (!json) {
    const many = secrets.length === 1 ? "one secret" : `${secrets.length} secrets`;
    const route = report ? "a report route" : "no report route";
    print(`${PROVIDERS[provider].title} at ${target.origin}${target.pathname}, with ${many} and ${route}`);
  }
  let group: string | undefined;
  const show = (result: CheckResult) => {
    if (result.group !== group) print(`\n${colours.bold(result.group)}`);
    group = result.group;
    printResult(result);
  };
  let made: AuditReport;
  try {
    made = await audit({
      url: target.href,
      provider,
      secrets,
      report,
      timeout,
      only,
      onResult: json ? undefined : show,
    });
  } catch (error) {
    throw error instanceof AuditError ? new Failure(plain(error.message)) : error;
  }
  if (json) printJson(made);
  else printVerdict(made, report !== undefined);
  if (junit !== undefined) await write("--junit", junit, await toJUnit(made));
  if (badge !== undefined) await write("--badge", badge, await toBadge(made));
  return made.counts.MUST.failed === 0;
}

/** By the URL's path or, if that does not say, by whose secret there is. */
function providerOf(url: string, options: AuditCommandOptions): ProviderName {
  const { pathname } = new URL(url);
  const inPath = PROVIDER_NAMES.filter((name) => pathname.toLowerCase().includes(name));
  const withSecret = options.secret ? [] : PROVIDER_NAMES.filter((name) => givenSecrets(name, {}).length > 0);
  for (const [name, ...others] of [inPath, withSecret]) if (name && others.length === 0) return name;
  throw new UsageError("The URL does not say whose webhooks it receives: pass --provider.");
}

function checksOf(provider: ProviderName | undefined): readonly Check[] {
  return CHECKS.filter(({ providers }) => provider === undefined || providers.includes(provider));
}

function checkId(id: string, provider: ProviderName): void {
  const ids = checksOf(provider).map((check) => check.id);
  if (ids.includes(id)) return;
  const meant = nearest(id, ids);
  throw new UsageError(
    `There is no check ${JSON.stringify(id)} for ${PROVIDERS[provider].title}.${meant ? ` Did you mean ${meant}?` : ""} crowdhook audit --list shows all.`,
  );
}

function list({ provider, json }: AuditCommandOptions): boolean {
  const checks = checksOf(provider);
  if (json) printJson(checks);
  else {
    for (const { id, providers, level, requirement } of checks) {
      const whose = providers.length > 1 ? "both" : (providers[0] ?? "");
      print(`${id.padEnd(ID_WIDTH)} ${level.padEnd(6)} ${whose.padEnd(8)} ${requirement}`);
    }
  }
  return true;
}

const ID_WIDTH = Math.max(...CHECKS.map(({ id }) => id.length));

function printResult(result: CheckResult): void {
  const { id, level, requirement, reason } = result;
  const name = id.padEnd(ID_WIDTH);
  if (result.status === "passed") print(`  ${marked(true, `${name}  ${requirement}`)}`);
  else if (result.status === "skipped") print(colours.dim(`  – ${name}  skipped: ${result.why}`));
  else {
    // What is no MUST is worth a look, and no more.
    const colour = level === "MUST" ? colours.red : colours.yellow;
    print(`  ${colour("✗")} ${name}  ${colour(level)}: ${requirement}`);
    const row = (title: string, text: string) => print(`      ${colours.dim(title.padEnd(9))} ${text}`);
    row("why", reason);
    row("expected", plain(result.expected));
    row("seen", plain(result.seen));
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
    const why = hasReport ? "not all of them were made" : "some take a report route: --report";
    print(`${colours.yellow("–")} Not proven: no MUST failed, but ${why}. ${took}.`);
  }
}

async function write(option: string, file: string, content: string): Promise<void> {
  await writeFile(file, content).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${option}: ${file} cannot be written: ${code}.`);
  });
}

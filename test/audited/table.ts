import { readFileSync, writeFileSync } from "node:fs";
import { AuditError, type AuditReport, CHECKS } from "@crowdhook/audit";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { audited, failedMusts, type Handler } from "./handler.js";
import { HANDLERS } from "./handlers.js";

// Audits every handler and rewrites the comparison in docs/compare.md. Usage: pnpm audit:compare

const DOCUMENT = new URL("../../docs/compare.md", import.meta.url);
const [BEGIN, END] = ["<!-- begin: pnpm audit:compare -->", "<!-- end: pnpm audit:compare -->"];

interface Row {
  readonly handler: Handler;
  /** A text says why there is no report. */
  readonly outcome: AuditReport | string;
}

async function rowOf(handler: Handler): Promise<Row> {
  if (handler.missing) return { handler, outcome: handler.missing };
  try {
    return { handler, outcome: await audited(handler) };
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    return { handler, outcome: error.code === "NOT_ACCEPTED" ? "refuses genuine deliveries" : error.message };
  }
}

function lineOf(row: Row): string {
  const { handler, outcome } = row;
  if (typeof outcome === "string") return `| ${handler.name} | – | – | – | ${outcome} | |`;
  const [must, should, may] = (["MUST", "SHOULD", "MAY"] as const).map((level) => {
    const { passed, failed } = outcome.counts[level];
    return `${passed} of ${passed + failed}`;
  });
  const failed = failedMusts(outcome).map((id) => `\`${id}\``);
  return `| ${handler.name} | ${must} | ${should} | ${may} | ${outcome.verdict} | ${failed.join(", ")} |`;
}

function tableOf(sender: Sender, rows: readonly Row[]): string {
  const lines = rows.filter(({ handler }) => handler.sender === sender).map(lineOf);
  return `## ${sender.provider.title}

| handler | MUST | SHOULD | MAY | verdict | MUST checks that failed |
| --- | --- | --- | --- | --- | --- |
${lines.join("\n")}`;
}

// As in production, where Express answers errors without stacks. Nothing logs the refused deliveries.
process.env.NODE_ENV = "production";
console.error = console.warn = () => {};

const rows: Row[] = [];
for (const handler of HANDLERS) {
  const row = await rowOf(handler);
  rows.push(row);
  console.log(`${handler.sender.provider.name}: ${lineOf(row)}`);
}

const today = new Date().toISOString().slice(0, 10);
const made = new Map<string, string>();
for (const { handler } of rows) {
  const other = made.get(handler.name) ?? handler.made;
  if (other !== handler.made)
    throw new Error(`Handlers named ${handler.name} have different descriptions. Rename one.`);
  made.set(handler.name, handler.made);
}
const failed = new Set(
  rows.flatMap(({ outcome }) => (typeof outcome === "string" ? [] : failedMusts(outcome))),
);
const written = `Passed of the checks that ran, with one secret and a report route, on ${today} with Node ${process.versions.node}.

${SENDERS.map((sender) => tableOf(sender, rows)).join("\n\n")}

## The handlers

${[...made].map(([name, what]) => `- **${name}:** ${what}.`).join("\n")}

## The failed checks

${CHECKS.filter(({ id }) => failed.has(id))
  .map(({ id, requirement }) => `- \`${id}\`: ${requirement}`)
  .join("\n")}`;
const document = readFileSync(DOCUMENT, "utf8");
const [before, after] = [document.indexOf(BEGIN), document.indexOf(END)];
if (before < 0 || after < before)
  throw new Error(`docs/compare.md lacks a marker. Add the lines ${BEGIN} and ${END}.`);
writeFileSync(DOCUMENT, `${document.slice(0, before)}${BEGIN}\n\n${written}\n\n${document.slice(after)}`);

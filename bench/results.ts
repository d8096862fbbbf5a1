/** Where the parts leave what they measured: results.json keeps it, results.md is made of that. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import { SUMMARY } from "./summary.js";

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a part measured. */
export interface Section {
  readonly title: string;
  /** How, and which side is what. Markdown. */
  readonly method: string;
  readonly tables: readonly Table[];
  /** The figures for the summary, each under its id there. */
  readonly figures: Readonly<Record<string, number>>;
}

interface Recorded extends Section {
  /** When, and on what. */
  readonly taken: string;
}

/** In the order of results.md. */
export const PARTS = ["in-process", "web-crypto", "http", "forged", "size", "cold-import"];

// `run.ts` runs each part in this folder.
const RESULTS = "results.json";
/** The figures before the core was split into stages, which the summary compares with. */
const BEFORE = "before.json";

/** The packages with the versions that are installed, for prose. */
export function versions(...names: string[]): string {
  const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  return names.map((name) => `${name} ${devDependencies[name]}`).join(", ");
}

/** Prints a section and puts it in place of the one before. With options, it is not all: only printed. */
export function record(part: string, section: Section): void {
  console.log(rendered(section));
  if (process.argv.some((argument) => argument.startsWith("--"))) return;
  const recorded: Recorded = { taken: taken(), ...section };
  writeFileSync(RESULTS, `${JSON.stringify({ ...recordedBefore(), [part]: recorded }, undefined, 2)}\n`);
}

/** Makes results.md of all that is recorded, and prints its summary. */
export function publish(): void {
  const recorded = recordedBefore();
  const summary = summaryOf(Object.values(recorded));
  console.log(summary);
  const sections = PARTS.flatMap((part) => recorded[part] ?? []);
  const text = [
    "# Measurements",
    summary,
    "## How it is measured",
    `\`pnpm bench\` measures all of it. It also takes the names of parts: ${PARTS.map((part) => `\`${part}\``).join(", ")}. Each part replaces its own section. Sides run by turns in one run, so their ratios hold on other machines as well. Times do not.`,
    ...sections.map((section) => rendered(section, section.taken)),
  ].join("\n\n");
  writeFileSync("results.md", `${text}\n`);
}

function recordedBefore(): Record<string, Recorded> {
  return existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : {};
}

function taken(): string {
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "../packages") === "" ? "" : ", with changes";
  const cpus = os.cpus();
  return `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${os.type()}, ${cpus.length} cores of ${cpus[0]?.model.trim()}, commit ${git("rev-parse", "--short", "HEAD")}${changed}.`;
}

function rendered({ title, method, tables }: Section, when?: string): string {
  return [
    `## ${title}`,
    ...(when ? [when] : []),
    method,
    ...tables.flatMap(({ caption, head, rows }) => [`**${caption}**`, markdown(head, rows)]),
  ].join("\n\n");
}

/** A table that can be read in a terminal, too. */
function markdown(head: readonly string[], rows: Table["rows"]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function summaryOf(sections: readonly Section[]): string {
  const now = new Map(sections.flatMap(({ figures }) => Object.entries(figures)));
  const before: { taken: string; figures: Record<string, number> } = JSON.parse(readFileSync(BEFORE, "utf8"));
  return [
    `"Before" is ${before.taken}. "Now" is the run that the part's section names.`,
    ...SUMMARY.flatMap(({ title, reading, figures }) => [
      `**${title}**`,
      reading,
      markdown(
        ["", "before", "now"],
        figures.map(({ id, says, unit }) => {
          const written = (figure: number | undefined) => (figure === undefined ? "–" : unit(figure));
          return [says, written(before.figures[id]), written(now.get(id))];
        }),
      ),
    ]),
  ].join("\n\n");
}

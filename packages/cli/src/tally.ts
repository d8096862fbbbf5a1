import { setTimeout } from "node:timers/promises";
import { firstLines, parseReply, rounded } from "./http/answer.js";
import type { Answer } from "./http/exchange.js";
import { add, colours, counted, marked, print } from "./output.js";

/** Counts the answers to the deliveries that were sent. */
export class Tally {
  private readonly began = performance.now();
  private readonly statuses: Record<string, number> = {};
  private readonly codes: Record<string, number> = {};
  private readonly outcomes: Record<string, number> = {};
  private readonly failures: Record<string, number> = {};
  private readonly latencies: number[] = [];
  private unexpected = 0;
  private firstUnexpected: Answer | undefined;

  constructor(private readonly isExpected: (status: number) => boolean) {}

  /** Counts an answer. Returns whether it was as expected. */
  answered(answer: Answer): boolean {
    const { status, milliseconds } = answer;
    const { code, outcomes } = parseReply(answer);
    add(this.statuses, status);
    if (code) add(this.codes, code);
    for (const [outcome, count] of Object.entries(outcomes)) add(this.outcomes, outcome, count);
    this.latencies.push(milliseconds);
    if (this.isExpected(status)) return true;
    this.unexpected++;
    this.firstUnexpected ??= answer;
    return false;
  }

  /** Counts a delivery without an answer. */
  failed(why: string): void {
    add(this.failures, why);
    this.unexpected++;
  }

  get isEmpty(): boolean {
    return this.latencies.length === 0;
  }

  get isAsExpected(): boolean {
    return this.unexpected === 0;
  }

  /** Returns whether a receiver refused a delivery with this code. */
  has(code: string): boolean {
    return code in this.codes;
  }

  toJSON() {
    const { statuses, codes, outcomes, failures, unexpected, firstUnexpected } = this;
    const seconds = (performance.now() - this.began) / 1000;
    const answered = this.latencies.length;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const percentile = (part: number) => rounded(sorted[Math.ceil(part * answered) - 1]);
    return {
      sent: answered + Object.values(failures).reduce((sum, count) => sum + count, 0),
      answered,
      unexpected,
      statuses,
      codes,
      outcomes,
      failures,
      seconds: rounded(seconds),
      perSecond: rounded(answered / seconds),
      milliseconds: {
        p50: percentile(0.5),
        p90: percentile(0.9),
        p99: percentile(0.99),
        max: rounded(sorted.at(-1)),
      },
      ...(firstUnexpected && {
        firstUnexpected: { status: firstUnexpected.status, lines: firstLines(firstUnexpected, false) },
      }),
    };
  }

  /**
   * @param expectation What was sent, if 2xx is not expected.
   * @param areShown Whether the answers were shown one by one.
   */
  print({ expectation = "", areShown }: { expectation?: string | undefined; areShown: boolean }): void {
    const { sent, answered, unexpected, statuses, codes, outcomes, failures, ...rest } = this.toJSON();
    const { seconds, perSecond, milliseconds } = rest;
    // A rate of a few deliveries says nothing.
    const pace = sent < 100 ? "" : `, ${perSecond} per second`;
    const took = `${sent.toLocaleString("en")} sent in ${seconds} s${pace}`;
    print(marked(unexpected === 0, unexpected === 0 ? took : `${took}; not as expected: ${unexpected}`));
    const row = (name: string, value: string) => value && print(`  ${colours.dim(name.padEnd(12))} ${value}`);
    row("sent with", expectation);
    row("statuses", counted(statuses, "×"));
    row("codes", counted(codes, "×"));
    row("events", counted(outcomes));
    row("no answer", counted(failures, "×"));
    if (answered > 1) {
      const { p50, p90, p99, max } = milliseconds;
      row("latency", `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`);
    }
    if (rest.firstUnexpected && !areShown) {
      const { status, lines } = rest.firstUnexpected;
      print(`  The first answer that is not as expected: ${status}`);
      for (const line of lines) print(`    ${colours.dim(line)}`);
    }
  }
}

/** Returns a function that resolves when the next delivery may be sent. @param rate Deliveries per second. */
export function pace(rate: number | undefined): () => Promise<unknown> | undefined {
  let due = performance.now();
  return () => {
    if (rate === undefined) return undefined;
    const now = performance.now();
    // Slow answers must not lead to a burst later.
    due = Math.max(due, now - 1000 / rate);
    const wait = due - now;
    due += 1000 / rate;
    return wait > 0 ? setTimeout(wait) : undefined;
  };
}

/** Whether standard error is a terminal that can redraw a line. */
export function hasProgressBar(): boolean {
  return Boolean(process.stderr.isTTY) && process.env.TERM !== "dumb";
}

/** In characters. */
const BAR_MAX = 40;

/** Returns a progress bar on standard error; `undefined` if there is nothing to do or no terminal for it. */
export async function progress(total: number) {
  if (total === 0 || !hasProgressBar()) return undefined;
  const { Format, SingleBar } = (await import("cli-progress")).default;
  const width = String(total).length;
  // The numbers are more useful than the bar. A line of the terminal's full width would wrap in some.
  const room = (process.stderr.columns || 80) - `  ${total}/${total}, 9999 s to go`.length;
  const bar = new SingleBar({
    format(options, { progress, value, total, eta }) {
      const drawn = options.barsize ? `${Format.BarFormat(progress, options)} ` : "";
      // The time is unknown before the first step.
      const time = value > 0 && Number.isFinite(eta) ? `, ${eta} s to go` : "";
      return `${drawn}${String(value).padStart(width)}/${total}${time}`;
    },
    barsize: Math.max(0, Math.min(BAR_MAX, room)),
    clearOnComplete: true,
    // Otherwise the bar would handle Ctrl-C itself.
    gracefulExit: false,
    linewrap: true,
  });
  bar.start(total, 0);
  return bar;
}

import { readdirSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeEach, test, vi } from "vitest";

/** How long to fuzz, in seconds; without it a fixed number of cases. */
const SECONDS = numberIn("FUZZ");
/** Repeats a run: a failing property prints its seed. A run with FUZZ has a new seed, other runs have the same one. */
const SEED = numberIn("FUZZ_SEED") ?? (SECONDS === undefined ? 1 : undefined);

/** The files that share the time. */
const FILES = readdirSync(import.meta.dirname).filter((name) =>
  /^fuzz-.*\.slow\.test\.ts$/.test(name),
).length;

function numberIn(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number)) {
    throw new TypeError(`${name} must be a number, not ${JSON.stringify(text)}.`);
  }
  return number;
}

const sentences: string[] = [];
const ran: string[] = [];

/** A property as a test. `cases` is how many it is tried with, unless FUZZ says for how long. */
export function property<Input>(sentence: string, cases: number, about: fc.IAsyncProperty<Input>): void {
  sentences.push(sentence);
  test(
    sentence,
    async () => {
      const share = SECONDS && (SECONDS * 1000) / sentences.length / FILES;
      const details = await fc.check(about, {
        ...(SEED !== undefined && { seed: SEED }),
        ...(share
          ? { numRuns: Number.MAX_SAFE_INTEGER, plugins: [fc.interruptAfterTimeLimit(share)] }
          : { numRuns: cases }),
      });
      ran.push(`${String(details.numRuns).padStart(8)} ${sentence}`);
      if (details.failed) {
        throw new Error(await fc.asyncDefaultReportMessage(details), { cause: details.errorInstance });
      }
    },
    (SECONDS ?? 120) * 2000 + 60_000,
  );
}

afterAll(() => console.log(`Cases by property:\n${ran.join("\n")}`));

/** What the receivers logged in this test. */
export const logged = { text: "" };
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation((...line) => {
    logged.text += line.join();
  });
});

export function digitsOf(maxLength: number) {
  return fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: 1, maxLength });
}

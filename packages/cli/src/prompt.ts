import { UsageError } from "./output.js";

// Questions go to standard error, because standard output is for results.

/**
 * Asks for a secret without showing it.
 *
 * @throws UsageError if standard input is not a terminal, or the user gives no answer.
 */
export async function hidden(name: string, variable: string): Promise<string> {
  const missing = new UsageError(`${name} is missing. Set ${variable}.`);
  if (!process.stdin.isTTY) throw missing;
  const { default: password } = await import("@inquirer/password");
  const answer = password(
    { message: `${name} (or set ${variable}):`, validate: (text) => text !== "" },
    { output: process.stderr },
  );
  return answer.catch(() => {
    throw missing;
  });
}

/** Returns the answer; empty if the input ends. */
export async function asked(question: string): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    return await Promise.race([terminal.question(question), ended]);
  } finally {
    terminal.close();
  }
}

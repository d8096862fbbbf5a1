import { UsageError } from "./output.js";

// Questions are on standard error: standard output is for results.

/**
 * Asks for a secret, and does not show it.
 *
 * @throws UsageError if nobody is there to ask.
 */
export async function hidden(what: string, variable: string): Promise<string> {
  if (!process.stdin.isTTY) throw new UsageError(`${what} is missing: set ${variable}.`);
  const { default: password } = await import("@inquirer/password");
  const answer = password(
    { message: `${what} (or set ${variable}):`, validate: (text) => text !== "" },
    { output: process.stderr },
  );
  return answer.catch(() => {
    throw new UsageError(`${what} is missing: set ${variable}.`);
  });
}

export async function asked(question: string): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // Whoever ends the input has not agreed.
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    return await Promise.race([terminal.question(question), ended]);
  } finally {
    terminal.close();
  }
}

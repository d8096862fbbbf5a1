#!/usr/bin/env node
import { Command } from "commander";
import { version } from "../package.json";
import { addAudit, addListen, addReplay, addSchema, addSend, addVerify } from "./command-line/commands.js";
import { addCompletion } from "./command-line/completion.js";
import { EXIT_STATUS, SECRET_VARIABLES, TITLES } from "./command-line/options.js";
import { addQueue } from "./command-line/queue.js";
import { addSubscriptions } from "./command-line/subscriptions.js";
import { colours, Failure, print, printBug, printError, UsageError } from "./output.js";

const program = new Command("crowdhook")
  .description(`Sends, receives, replays, verifies and audits webhooks of ${TITLES}.`)
  .version(version)
  .configureOutput({
    writeOut: (text) => eachLine(text, print),
    writeErr: (text) => eachLine(text, printError),
    outputError: (text, write) => write(withoutLineBreaks(text)),
  })
  .configureHelp({ styleTitle: (title) => colours.bold(title) })
  // commander would end with 1 for a mistake in the command line, too.
  .exitOverride()
  .showHelpAfterError("(see --help, which has an example)")
  .addHelpText(
    "after",
    `
Example, in two terminals with ${SECRET_VARIABLES} set:
  $ crowdhook listen
  $ crowdhook send all --to http://127.0.0.1:3000
${EXIT_STATUS}`,
  );

for (const add of [addSend, addListen, addReplay, addVerify, addAudit, addSubscriptions, addQueue, addSchema])
  add(program, end);
addCompletion(program);

// A reader such as head closes the pipe when it has read enough.
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 1));

process.on("uncaughtException", (error) => {
  printBug(error);
  process.exit(1);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = statusFor(error);
}

function eachLine(text: string, run: (line: string) => void): void {
  for (const line of text.replace(/\n$/, "").split("\n")) run(line);
}

/** Returns commander's message with the line breaks escaped that an argument brought. Only its suggestion has a line of its own. */
function withoutLineBreaks(message: string): string {
  const [, text = message, suggestion = ""] = /^(.*?)(\n\(Did you mean [^\n]*\?\))?\n?$/s.exec(message) ?? [];
  return `${text.replaceAll("\n", "\\u{a}")}${suggestion}\n`;
}

async function end(succeeded: Promise<boolean>): Promise<void> {
  process.exitCode = (await succeeded) ? 0 : 1;
}

/** Returns the exit status for an error. Prints its message, unless commander has. */
function statusFor(error: unknown): number {
  if (typeof error === "object" && error !== null && "exitCode" in error) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError || error instanceof Failure) {
    printError(`error: ${error.message}`);
    return error instanceof UsageError ? 2 : 1;
  }
  printBug(error);
  return 1;
}

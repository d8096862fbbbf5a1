import type { Argument, Command, Option } from "commander";

/** A word that completes the command line. */
interface Candidate {
  readonly word: string;
  readonly description: string;
}

const KNOWN_VALUES = new WeakMap<Argument | Option, readonly string[]>();

/** Has the shell offer these values, although others may be allowed. */
export function suggesting<T extends Argument | Option>(part: T, values: readonly string[]): T {
  KNOWN_VALUES.set(part, values);
  return part;
}

/**
 * Returns what may stand in place of the last word. An empty list leaves it to the shell, which offers files.
 *
 * @param words After the name of the program, to the cursor. Bash makes `=` a word of its own.
 */
export function candidates(program: Command, words: readonly string[]): readonly Candidate[] {
  const all = words.filter((word) => word !== "=");
  const current = words.at(-1) === "=" ? "" : (all.pop() ?? "");
  const { command, before, position } = walk(program, all);
  const [, name = "", start] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
  if (start !== undefined) {
    const values = valuesOf(optionNamed(command, name), start);
    return values.map((value) => ({ ...value, word: `${name}=${value.word}` }));
  }
  if (before) return valuesOf(before, current);
  const help = command.createHelp();
  if (current.startsWith("-")) {
    return help
      .visibleOptions(command)
      .map(({ long, short, description }) => ({ word: long ?? short ?? "", description }))
      .filter(({ word }) => word.startsWith(current));
  }
  const commands = help
    .visibleCommands(command)
    .map((each) => ({ word: each.name(), description: help.subcommandDescription(each) }))
    .filter(({ word }) => word.startsWith(current));
  const argument = command.registeredArguments[position] ?? command.registeredArguments.at(-1);
  const isExpected = argument && (position < command.registeredArguments.length || argument.variadic);
  if (isExpected) return valuesOf(argument, current);
  return position === 0 ? commands : [];
}

/** Returns the command that the words lead to, and the option before the cursor that lacks its value. */
function walk(program: Command, words: readonly string[]) {
  let command = program;
  let before: Option | undefined;
  let position = 0;
  for (const word of words) {
    if (before) before = undefined;
    else if (word.startsWith("-")) {
      const option = optionNamed(command, word);
      before = option?.required ? option : undefined;
    } else {
      const inner = command.commands.find((each) => each.name() === word);
      if (inner) command = inner;
      else position++;
    }
  }
  return { command, before, position };
}

function optionNamed(command: Command, name: string): Option | undefined {
  return command.options.find(({ long, short }) => long === name || short === name);
}

function valuesOf(part: Argument | Option | undefined, start: string): readonly Candidate[] {
  if (!part) return [];
  const values = part.argChoices ?? KNOWN_VALUES.get(part) ?? [];
  return values.filter((value) => value.startsWith(start)).map((word) => ({ word, description: "" }));
}

import { Argument, type Command } from "commander";
import { print, printText } from "../output.js";
import { candidates } from "./candidates.js";
import { SCRIPTS } from "./completion-scripts.js";
import { EXIT_STATUS } from "./options.js";

const INSTALL = `
To try it, in the shell itself:
  bash, zsh  source <(crowdhook completion bash)
  fish       crowdhook completion fish | source

To keep it:
  bash  crowdhook completion bash > ~/.local/share/bash-completion/completions/crowdhook
  zsh   crowdhook completion zsh > "\${fpath[1]}/_crowdhook"
  fish  crowdhook completion fish > ~/.config/fish/completions/crowdhook.fish

The shell asks the command itself for each word, so the script stays the same in later releases. The
command has to be on the PATH: npx cannot be completed.

Example:
  $ crowdhook completion bash
${EXIT_STATUS}`;

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands, options and event types in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", INSTALL)
    .action((shell: keyof typeof SCRIPTS) => printText(SCRIPTS[shell]));

  // The scripts call it.
  program
    .command("complete", { hidden: true })
    .argument("[word...]")
    .helpOption(false)
    .action((words: readonly string[]) => {
      for (const { word, description } of candidates(program, words)) print(`${word} ${description}`);
    });
}

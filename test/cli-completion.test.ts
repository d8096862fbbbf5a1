import { spawnSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { SENDERS } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { TYPES, useCli } from "./cli-fixture.js";
import { BIN, start } from "./cli-process.js";

const { path, run, track } = useCli();

/** Returns what the command offers in place of the last word. */
async function offered(...words: string[]) {
  const { code, stdout, stderr } = await run(["complete", "--", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [line.split(" ")[0]]));
}

describe("completion offers", () => {
  test("commands, and those below them", async () => {
    expect(await offered("")).toEqual(expect.arrayContaining(["send", "listen", "completion", "help"]));
    expect(await offered("")).not.toContain("complete");
    expect(await offered("re")).toEqual(["replay"]);
    expect(await offered("subscriptions", "s")).toEqual(["sync"]);
  });

  test("options of the command alone, after options with and without a value", async () => {
    expect(await offered("send", "--to", "x", "--duplicate", "--ta")).toEqual(["--tamper"]);
    expect(await offered("listen", "--ta")).toEqual([]);
    expect(await offered("subscriptions", "sync", "--ye")).toEqual(["--yes"]);
  });

  test("event types of every provider, and choices", async () => {
    const types = SENDERS.flatMap(({ provider }) => provider.eventTypes);
    expect(await offered("send", "")).toEqual(["all", ...types]);
    expect(await offered("send", "POOL_CLOSED", "")).toEqual([]);
    expect(await offered("listen", "--event", "TEST")).toEqual(["TEST_EVENT"]);
    expect(await offered("subscriptions", "create", "--event", "")).toEqual(["all", ...TYPES]);
    expect(await offered("send", "--tamper", "")).toEqual(["signature", "body", "time"]);
    expect(await offered("send", "--tamper=b")).toEqual(["--tamper=body"]);
    // Bash makes three words of it.
    expect(await offered("send", "--tamper", "=", "b")).toEqual(["body"]);
    expect(await offered("send", "--tamper", "=")).toEqual(["signature", "body", "time"]);
    expect(await offered("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  test("nothing for files, numbers and unknown words", async () => {
    for (const words of [
      ["verify", ""],
      ["replay", "a", ""],
      ["send", "--count", ""],
      ["nothing", "--x", ""],
    ])
      expect(await offered(...words)).toEqual([]);
  });
});

const LINES = ["send POOL", "send --provi", "listen --provider=prol", "verify fil"];

/** Zsh completes only what is typed at a terminal. The key ^X prints what stands there. */
const ZSH_TYPED = `PS1=
autoload -Uz compinit && compinit -u -D
source <(crowdhook completion zsh)
show() { print -r -- "LINE=$BUFFER=END"; BUFFER= }
zle -N show
bindkey '^I' complete-word '^X' show
print READY`;
const ZSH = `zmodload zsh/zpty
zpty terminal zsh -f -i
zpty -w terminal 'source ./typed.zsh'
zpty -r -m terminal seen '*READY*'
for line in ${LINES.map((line) => `'${line}'`).join(" ")}; do
  zpty -w -n terminal "crowdhook $line"$'\t\x18'
  zpty -r -m terminal seen '*LINE=*=END*'
  print -r -- "\${\${seen##*LINE=crowdhook }%%=END*}"
done`;

const BASH = `source <(crowdhook completion bash)
complete -p crowdhook >/dev/null || exit 1
of() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _crowdhook; echo "\${COMPREPLY[*]}"; }
of crowdhook send POOL; of crowdhook send --provi; of crowdhook listen --provider = prol; of crowdhook verify fil
# A terminal hands over a word with a colon in parts, and replaces the last one.
of crowdhook send update : t; of crowdhook send update :; of crowdhook listen --event = update : t
of crowdhook send update : task --to http : //a : 3 --tamp
COMP_WORDBREAKS=' '; of crowdhook send update:t`;

const FISH = `crowdhook completion fish | source
for line in ${LINES.map((line) => `'${line}'`).join(" ")}
  complete -C "crowdhook $line" | string replace -r '\t.*' ''
end
true`;

describe("in a real shell, the script completes commands, options, their values, and files:", () => {
  test.for([
    // Bash itself offers files for an empty answer.
    [
      "bash",
      ["--norc", "-c", BASH],
      [
        ...["POOL_CLOSED", "--provider", "prolific", ""],
        ...["task", expect.stringMatching(/(^| )job( |$)/), "task", "--tamper", "update:task"],
      ],
    ],
    ["fish", ["-N", "-c", FISH], ["POOL_CLOSED", "--provider", "--provider=prolific", "file.json"]],
    [
      "zsh",
      ["-f", "-c", ZSH],
      ["send POOL_CLOSED ", "send --provider ", "listen --provider=prolific ", "verify file.json "],
    ],
  ] as const)("%s", async ([shell, args, expected], { skip }) => {
    const isThere = spawnSync(shell, ["--version"]).status === 0;
    skip(!isThere, `${shell} is not installed: apt-get install ${shell}`);
    symlinkSync(BIN, path("crowdhook"));
    writeFileSync(path("file.json"), "{}");
    writeFileSync(path("typed.zsh"), ZSH_TYPED);
    const env = { PATH: `${path()}:${process.env.PATH}`, HOME: path() };
    const { code, stdout, stderr } = await track(start(shell, args, { cwd: path(), env })).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.replace(/\n$/, "").split("\n")).toEqual(expected);
  });

  test("and there is none for other shells", async () => {
    expect(await run(["completion", "powershell"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Allowed choices are bash, zsh, fish."),
    });
  });
});

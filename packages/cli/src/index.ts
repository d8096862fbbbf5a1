#!/usr/bin/env node
import { Command, InvalidArgumentError, Option } from "commander";
import { version } from "../package.json";
import { colours, Failure, UsageError } from "./output.js";

// Each command is imported when it is called, so that `--help` and a typing mistake cost nothing.

const SECRETS = `
Secrets are read from the environment: TOLOKA_SECRET and PROLIFIC_SECRET, several separated by commas.
Where one is missing and there is a terminal, it is asked for.`;
const KEYS = `
Keys are read from the environment: TOLOKA_API_KEY or TOLOKA_OAUTH_TOKEN for Toloka, PROLIFIC_TOKEN and
PROLIFIC_WORKSPACE_ID for Prolific. Where a key is missing and there is a terminal, it is asked for.`;
const SIGNED = `
What Toloka is to sign with is read from TOLOKA_SECRET, the first one of several.`;
const EXIT = "\nExit status: 0 if all went as wished, 1 if not, 2 for a mistake in the command line.";

const program = new Command("crowdhook")
  .description("Sends, receives, replays, verifies and audits webhooks of Toloka and Prolific.")
  .version(version)
  .configureHelp({ styleTitle: (title) => colours.bold(title) })
  // Ends are ours to choose: commander's own is 1, whatever the mistake.
  .exitOverride()
  .showHelpAfterError("(--help says how, with an example)")
  .addHelpText(
    "after",
    `
Example, in two terminals with TOLOKA_SECRET and PROLIFIC_SECRET set:
  $ crowdhook listen
  $ crowdhook send all --to http://127.0.0.1:3000
${EXIT}`,
  );

const provider = () => new Option("--provider <name>", "whose webhooks").choices(["toloka", "prolific"]);
const secret = () =>
  new Option(
    "--secret <secret>",
    "a secret, repeatable. Not here but in the environment: other users see command lines, shells keep them",
  ).argParser(several);
const json = () => new Option("--json", "for machines: JSON on standard output, and nothing else");
const timeout = () =>
  new Option("--timeout <seconds>", "how long to wait for an answer").argParser(positive).default(30);

program
  .command("send")
  .description("send signed deliveries to an endpoint")
  .argument("<type>", "an event type such as POOL_CLOSED or study.status.change, or all: one of each")
  .requiredOption("--to <url>", "the endpoint; without a path, /toloka-webhook or /prolific-webhook is added")
  .addOption(provider())
  .option("--count <n>", "how many deliveries, of each type", whole, 1)
  .option("--rate <n>", "how many a second at most", rate)
  .option("--batch <n>", "how many events in each of Toloka's deliveries", whole, 1)
  .option("--concurrency <n>", "how many at once", whole, 10)
  .option(
    "--data <file>",
    "JSON whose fields replace those of the sample event, or add to them; - is standard input",
  )
  .addOption(
    new Option(
      "--tamper <what>",
      "what to spoil, so that 401 is expected: the signature, the body after it was signed, or the time, an hour old",
    ).choices(["signature", "body", "time"]),
  )
  .option("--duplicate", "send each delivery twice, as a provider may")
  .addOption(timeout())
  .addOption(secret())
  .addOption(json())
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook send POOL_CLOSED --to http://127.0.0.1:3000/toloka-webhook
${SECRETS}
With several secrets, the first one signs.
${EXIT}`,
  )
  .action(async (type, options) => end((await import("./send.js")).send(type, options)));

program
  .command("listen")
  .description("receive deliveries on any path, and say what a receiver makes of them")
  .option("--port <number>", "0 takes a free one", port, 3000)
  .option("--host <address>", "the address to listen on", "127.0.0.1")
  .addOption(provider())
  .option(
    "--forward <url>",
    "pass each delivery on, and its answer back; without a path, its own path is kept",
  )
  .option("--save <folder>", "keep each delivery as a file, for replay and verify")
  .option("--tolerance <seconds>", "how old a signature may be", positive, 300)
  .addOption(timeout())
  .addOption(secret())
  .addOption(json())
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook listen --port 4000 --save ./deliveries

Ctrl-C ends it, with a summary. Without --forward it answers as a receiver does: 200, 401, 400 ….
Secrets are read from the environment: TOLOKA_SECRET and PROLIFIC_SECRET, several separated by commas.
Without one, nothing is verified.
${EXIT}`,
  )
  .action(async (options) => end((await import("./listen.js")).listen(options)));

program
  .command("replay")
  .description("send stored deliveries again, in the order in which they were received")
  .argument("<path...>", "files that listen --save has written, or folders of them")
  .requiredOption("--to <url>", "the endpoint; without a path, each delivery goes to its own")
  .option("--resign", "sign with the current time: what is old is refused otherwise")
  .option("--rate <n>", "how many a second at most", rate)
  .addOption(timeout())
  .addOption(secret())
  .addOption(json())
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook replay ./deliveries --to http://127.0.0.1:3000 --resign
${SECRETS}
Only --resign needs them. With several, the first one signs.
${EXIT}`,
  )
  .action(async (paths, options) => end((await import("./replay.js")).replay(paths, options)));

program
  .command("verify")
  .description("say whether a signature fits, and if not, why")
  .argument("[file]", "a delivery that listen --save has written")
  .option("--header <line>", '"Name: value", repeatable', several)
  .option("--body <file>", "the exact bytes; - is standard input")
  .addOption(provider())
  .option("--tolerance <seconds>", "fail for what is older, too", positive)
  .addOption(secret())
  .addOption(json())
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook verify --body body.json --header "Toloka-Signature: {v=1, ts=946728000000,
      sign=609af3eefd4c12b6afad30ab456efcd21fe82f4247d3340151a3ca0c97a6cbcb}"
  $ crowdhook verify ./deliveries/2026-01-01T12-00-00.000Z-0001.json
${SECRETS}
${EXIT}`,
  )
  .action(async (file, options) => end((await import("./verify.js")).verify(file, options)));

program
  .command("audit")
  .description("check whether an endpoint is safe to give to a provider")
  .argument("[url]", "the endpoint; without a path, /toloka-webhook or /prolific-webhook is added")
  .addOption(provider())
  .option("--report <url>", "where the app lists the events that it has handled, for checks that need it")
  .option("--only <id>", "make this check, repeatable", several)
  .option("--list", "show all checks, and make none")
  .option("--timeout <seconds>", "how long to wait for an answer, at most 60", positive, 5)
  .option("--junit <file>", "write the report there as JUnit XML")
  .option("--badge <file>", "write the verdict there as an SVG")
  .addOption(secret())
  .addOption(json())
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook audit http://127.0.0.1:3000/toloka-webhook

It sends some 300 deliveries, good and bad, 100 MB in all. The events in the good ones are made up, and the app
handles them: audit a copy of it that nobody's work depends on.
${SECRETS}
With several, the first one signs, and the second one has to be accepted as well.

Exit status: 0 if no MUST failed, 1 if one did or there is nothing to audit, 2 for a mistake in the
command line.`,
  )
  .action(async (url, options) => end((await import("./audit.js")).auditEndpoint(url, options)));

const subscriptions = program
  .command("subscriptions")
  .description("list, create, test, delete or sync the subscriptions of an account")
  .addHelpText(
    "after",
    `
Example:
  $ crowdhook subscriptions list --provider toloka
${KEYS}
${EXIT}`,
  );

const account = (name: string) =>
  subscriptions
    .command(name)
    .addOption(provider())
    .option("--sandbox", "Toloka's sandbox, which is another account")
    .option("--base-url <url>", "where the API is, in place of the provider's own address")
    .addOption(json());
const target = (name: string) =>
  account(name)
    .requiredOption("--url <url>", "where deliveries go")
    .requiredOption("--event <type>", "an event type, repeatable, or all", several)
    .option("--pool <id>", "a pool of Toloka's, repeatable", several)
    .option("--unsigned", "without a secret: Toloka does not sign then")
    .addOption(secret());
const subscriptionsHelp = (example: string, more = "") => `
Example:
  $ crowdhook subscriptions ${example}
${more}${KEYS}
${EXIT}`;

account("list")
  .description("show all subscriptions")
  .addHelpText("after", subscriptionsHelp("list --provider toloka"))
  .action(async (options) => end((await import("./subscriptions.js")).list(options)));

target("create")
  .description("create a subscription for each event type, with Toloka in each pool")
  .addHelpText(
    "after",
    subscriptionsHelp(
      "create --url https://example.com/toloka-webhook --event POOL_CLOSED --pool 123",
      SIGNED,
    ),
  )
  .action(async (options) => end((await import("./subscriptions.js")).create(options)));

account("test")
  .description("have Toloka send a TEST_EVENT to a subscription's URL")
  .argument("<id>", "of the subscription")
  .addHelpText("after", subscriptionsHelp("test 8f3c --provider toloka"))
  .action(async (id, options) => end((await import("./subscriptions.js")).test(id, options)));

account("delete")
  .description("delete subscriptions")
  .argument("<id...>", "of the subscriptions")
  .addHelpText("after", subscriptionsHelp("delete 8f3c --provider toloka"))
  .action(async (ids, options) => end((await import("./subscriptions.js")).remove(ids, options)));

target("sync")
  .description("create what is missing: shows the plan and asks")
  .option("--yes", "do not ask")
  .option("--dry-run", "show the plan, and change nothing")
  .option("--delete-extra", "delete what goes to this URL and is not named here")
  .option("--resend", "give Toloka the secret again, for subscriptions that exist as well")
  .addHelpText(
    "after",
    subscriptionsHelp(
      "sync --url https://example.com/toloka-webhook --event all --pool 123 --provider toloka --dry-run",
      SIGNED,
    ),
  )
  .action(async (options) => end((await import("./subscriptions.js")).sync(options)));

/** Ends the process by whether all went as wished. */
async function end(went: Promise<boolean>): Promise<void> {
  process.exitCode = (await went) ? 0 : 1;
}

function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function whole(value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

function positive(value: string): number {
  const number = Number(value);
  if (value.trim() !== "" && number > 0 && number < 2_000_000) return number;
  throw new InvalidArgumentError("It must be a number above 0.");
}

function rate(value: string): number {
  return positive(value.replace(/\/s$/, ""));
}

function port(value: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number <= 65_535) return number;
  throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
}

// Whoever reads it, such as head, has read enough.
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 1));

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = statusFor(error);
}

/** Says what is wrong, unless commander has. */
function statusFor(error: unknown): number {
  if (typeof error === "object" && error !== null && "exitCode" in error) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError || error instanceof Failure) {
    process.stderr.write(`error: ${error.message}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
  console.error(error);
  return 1;
}

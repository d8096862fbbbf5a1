import { type Command, Option } from "commander";
import type { AccountFlag } from "../accounts/account.js";
import { ACCOUNTS } from "../accounts/accounts.js";
import { suggesting } from "./candidates.js";
import type { End } from "./commands.js";
import {
  EXIT_STATUS,
  jsonOption,
  providerOption,
  SECRETS,
  secretOption,
  several,
  since,
  timeoutOption,
} from "./options.js";

const KEYS = `
Keys are read from the environment:
${ACCOUNTS.map(({ variables, provider }) => `  ${provider.title}: ${variables}`).join("\n")}
If a key is missing, the command asks for it on a terminal.`;

const NOTES = ACCOUNTS.flatMap(({ targetNote }) => (targetNote ? [`\n${targetNote}`] : [])).join("");

const [{ provider, example }] = ACCOUNTS;
const URL_EXAMPLE = `--url https://example.com${provider.defaultPath}`;

export function addSubscriptions(program: Command, end: End): void {
  const subscriptions = program
    .command("subscriptions")
    .description("list, create, test, delete or sync the subscriptions of an account, or recover lost events")
    .addHelpText("after", help(`list --provider ${provider.name}`));

  account(subscriptions, "list")
    .description("show all subscriptions")
    .addHelpText("after", help(`list --provider ${provider.name}`))
    .action(async (options) => end((await import("../accounts/subscriptions.js")).list(options)));

  target(subscriptions, "create")
    .description("create a subscription for each event type")
    .addHelpText("after", help(`create ${URL_EXAMPLE} ${example.create}`, NOTES))
    .action(async (options) => end((await import("../accounts/subscriptions.js")).create(options)));

  account(subscriptions, "test")
    .description("have the provider send a test event to a subscription's URL, if it can")
    .argument("<id>", "the id of the subscription")
    .addHelpText("after", help(`test 8f3c --provider ${provider.name}`))
    .action(async (id, options) => end((await import("../accounts/subscriptions.js")).test(id, options)));

  account(subscriptions, "delete")
    .description("delete subscriptions, after asking")
    .argument("<id...>", "the ids of the subscriptions")
    .option("--yes", "do not ask")
    .addHelpText("after", help(`delete 8f3c --provider ${provider.name} --yes`))
    .action(async (ids, options) => end((await import("../accounts/subscriptions.js")).remove(ids, options)));

  addRecover(subscriptions, end);

  const sync = target(subscriptions, "sync")
    .description("create the missing subscriptions, after showing the plan and asking")
    .option("--yes", "do not ask")
    .option("--dry-run", "show the plan and change nothing")
    .option("--delete-extra", "delete subscriptions for this URL that are not named here");
  addFlags(sync, "sync")
    .addHelpText(
      "after",
      help(`sync ${URL_EXAMPLE} ${example.sync} --provider ${provider.name} --dry-run`, NOTES),
    )
    .action(async (options) => end((await import("../accounts/subscriptions.js")).sync(options)));
}

const RECOVERY_NOTES = `
The receiver at --url must be recoverable: without { recoverable: true } it
cannot tell which events it has handled, and runs them again. Inside the app,
call recover of @crowdhook/subscriptions instead: it also keeps a checkpoint.
${SECRETS}
`;

function addRecover(subscriptions: Command, end: End): void {
  account(subscriptions, "recover")
    .description("send the events that never arrived to the app, as signed deliveries")
    .requiredOption("--url <url>", "where to send them")
    .option("--subscribed-url <url>", "the URL of the subscriptions, if it is not --url")
    .addOption(
      new Option("--since <time>", "how far back: a span such as 2h, or ISO 8601 (default: 24h)").argParser(
        since,
      ),
    )
    .option("--dry-run", "show the events and send none")
    .addOption(secretOption())
    .addOption(timeoutOption())
    .addHelpText(
      "after",
      help(`recover ${URL_EXAMPLE} --provider ${provider.name} --since 2h`, RECOVERY_NOTES),
    )
    .action(async (options) => end((await import("../accounts/subscriptions.js")).recover(options)));
}

function account(subscriptions: Command, name: string): Command {
  const command = subscriptions
    .command(name)
    .addOption(providerOption(ACCOUNTS.map(({ provider }) => provider)))
    .option("--base-url <url>", "the address of the API, in place of the provider's own")
    .addOption(jsonOption());
  return addFlags(command, "account");
}

function target(subscriptions: Command, name: string): Command {
  const command = account(subscriptions, name)
    .requiredOption("--url <url>", "where the provider sends deliveries")
    .addOption(
      suggesting(
        new Option("--event <type>", 'an event type (repeatable), or "all"')
          .argParser(several)
          .makeOptionMandatory(),
        ["all", ...ACCOUNTS.flatMap(({ provider }) => provider.eventTypes)],
      ),
    )
    .addOption(secretOption());
  return addFlags(command, "target");
}

function addFlags(command: Command, of: AccountFlag["of"]): Command {
  const known = new Set<string>();
  for (const { flags, description, isRepeatable, ...flag } of ACCOUNTS.flatMap(({ flags }) => flags)) {
    if (flag.of !== of || known.has(flags)) continue;
    known.add(flags);
    const option = new Option(flags, description);
    command.addOption(isRepeatable ? option.argParser(several) : option);
  }
  return command;
}

function help(command: string, notes = ""): string {
  return `
Example:
  $ crowdhook subscriptions ${command}
${notes}${KEYS}
${EXIT_STATUS}`;
}

import type { Command } from "commander";
import type { End } from "./commands.js";
import { EXIT_STATUS, jsonOption, port } from "./options.js";

export function addQueue(program: Command, end: End): void {
  const queue = program
    .command("queue")
    .description("manage the tables of the sink @crowdhook/pg-boss; show the failed events of a sink")
    .addHelpText("after", HELP);

  queue
    .command("migrate")
    .description("create the tables or bring them up to date")
    .option("--schema <name>", "the schema of the tables", "crowdhook")
    .option("--sql", "print the SQL that creates the tables, for an administrator, and connect to nothing")
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action(async (options) => end((await import("../commands/queue.js")).migrate(options)));

  queue
    .command("ui")
    .description("show the failed events in a page, and replay them")
    .option("--schema <name>", "the schema of the tables", "crowdhook")
    .option("--queue <name>", "the option `queue` of the sink", "crowdhook")
    .option("--redis", "the sink is @crowdhook/bullmq, in the Redis of REDIS_URL")
    .option("--port <number>", "the port of the page; 0 takes a free one", port, 0)
    .addOption(jsonOption())
    .addHelpText("after", UI_HELP)
    .action(async (options) => end((await import("../ui/queue.js")).queueUi(options)));
}

const UI_HELP = `
Examples:
  $ DATABASE_URL=postgres://… crowdhook queue ui
  $ REDIS_URL=redis://… crowdhook queue ui --redis

The page lists the events that failed in every attempt, with their errors, and queues them again.
The command prints its URL. Only this machine can open it.
${EXIT_STATUS}`;

const HELP = `
Example:
  $ crowdhook queue migrate --sql > crowdhook.sql

The URL of PostgreSQL is read from the environment: DATABASE_URL.
Before an update from pg-boss 10, stop all processes that use the tables.
${EXIT_STATUS}`;

import type { ContractFormat } from "@crowdhook/core/contracts";
import { SENDERS } from "@crowdhook/core/testing";
import { Argument, type Command, Option } from "commander";
import { listed } from "../output.js";
import { suggesting } from "./candidates.js";
import {
  ALL_TYPES,
  ENDPOINT,
  EVENT_TYPES,
  EXIT_STATUS,
  jsonOption,
  OPTIONAL_SECRETS,
  port,
  positive,
  providerOption,
  rate,
  SECRETS,
  secretOption,
  several,
  statuses,
  timeoutOption,
  whole,
} from "./options.js";

/** Ends the process with exit status 0 if the command succeeded, else with 1. */
export type End = (succeeded: Promise<boolean>) => Promise<void>;

// Each command is imported when it runs, so that `--help` and a typing mistake load none of them.

const SAMPLE_TYPES = listed(
  SENDERS.map(({ defaultType }) => defaultType),
  "or",
);
const EXAMPLE_PATH = SENDERS[0]?.provider.defaultPath;

export function addSend(program: Command, end: End): void {
  program
    .command("send")
    .description("send signed deliveries to an endpoint")
    .addArgument(
      suggesting(
        new Argument("<type>", `an event type such as ${SAMPLE_TYPES}, or "all" for one of each type`),
        ["all", ...ALL_TYPES],
      ),
    )
    .requiredOption("--to <url>", `${ENDPOINT}; localhost:3000 is enough`)
    .addOption(providerOption())
    .option("--count <n>", "deliveries of each type", whole, 1)
    .option("--rate <n>", "deliveries per second at most", rate)
    .option("--batch <n>", "events in each delivery, where a provider's deliveries carry many", whole, 1)
    .option("--concurrency <n>", "deliveries at once", whole, 10)
    .option(
      "--data <json>",
      "JSON object, or the file of one, whose fields replace those of the sample event or add to them; - reads standard input",
    )
    .addOption(
      new Option(
        "--tamper <part>",
        "spoil a part and expect 401: the signature, the body after signing, or the time, set an hour back",
      ).choices(["signature", "body", "time"]),
    )
    .option("--duplicate", "send each delivery twice, as a provider may")
    .addOption(timeoutOption())
    .addOption(secretOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Example:
  $ crowdhook send ${SENDERS[0]?.defaultType} --to http://127.0.0.1:3000${EXAMPLE_PATH}
${EVENT_TYPES}
${SECRETS}
The first of several secrets signs.
${EXIT_STATUS}`,
    )
    .action(async (type, options) => end((await import("../commands/send.js")).send(type, options)));
}

export function addListen(program: Command, end: End): void {
  program
    .command("listen")
    .description("receive deliveries on any path, and show how a receiver judges them")
    .option("--port <number>", "the port to listen on; 0 takes a free one", port, 3000)
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .addOption(providerOption())
    .option(
      "--forward <url>",
      "pass each delivery on and return the answer; without a path, the delivery's own path is kept",
    )
    .option(
      "--save <folder>",
      "save each delivery as a file, for replay and verify; those in it that were not shown yet are listed first",
    )
    .addOption(
      suggesting(
        new Option(
          "--event <type>",
          "show only deliveries with an event of this type (repeatable)",
        ).argParser(several),
        ALL_TYPES,
      ),
    )
    .option(
      "--status <code>",
      "show only deliveries answered with this status: 401, 4xx (repeatable)",
      statuses,
    )
    .option("--full", "show payloads of any length")
    .option(
      "--ui [port]",
      "show the deliveries in a page on this machine; without a port, on a free one",
      port,
    )
    .option("--tolerance <seconds>", "how old a signature may be", positive, 300)
    .addOption(timeoutOption())
    .addOption(secretOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Example:
  $ crowdhook listen --port 4000 --save ./deliveries

Ctrl-C ends it with a summary. Without --forward, the answers are those of a receiver: 200, 401, 400 ….
${OPTIONAL_SECRETS}
${EXIT_STATUS}`,
    )
    .action(async (options) => end((await import("../listen/listen.js")).listen(options)));
}

export function addReplay(program: Command, end: End): void {
  program
    .command("replay")
    .description("send stored deliveries again, in the order in which they were received")
    .argument("<path...>", "files that listen --save has written, or folders of such files")
    .requiredOption("--to <url>", "the endpoint; without a path, each delivery's own path is added")
    .option("--resign", "sign with the current time, because receivers refuse old signatures")
    .option("--rate <n>", "deliveries per second at most", rate)
    .addOption(timeoutOption())
    .addOption(secretOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Example:
  $ crowdhook replay ./deliveries --to http://127.0.0.1:3000 --resign
${SECRETS}
Only --resign needs secrets. The first of several secrets signs.
${EXIT_STATUS}`,
    )
    .action(async (paths, options) => end((await import("../commands/replay.js")).replay(paths, options)));
}

export function addVerify(program: Command, end: End): void {
  program
    .command("verify")
    .description("check whether a signature fits, and if not, find out why")
    .argument("[file]", "a delivery that listen --save has written")
    .option("--header <line>", '"Name: value" (repeatable)', several)
    .option("--body <file>", "the exact bytes of the body; - reads standard input")
    .addOption(providerOption())
    .option("--tolerance <seconds>", "also fail if the signature is older", positive)
    .addOption(secretOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Example, with a line such as "${SENDERS[0]?.provider.signatureFormat.headers[0]}: …" in header.txt:
  $ crowdhook verify --body body.json --header "$(cat header.txt)"
  $ crowdhook verify ./deliveries/2026-01-01T12-00-00.000Z-0001.json
${SECRETS}
${EXIT_STATUS}`,
    )
    .action(async (file, options) => end((await import("../commands/verify.js")).verify(file, options)));
}

export function addAudit(program: Command, end: End): void {
  program
    .command("audit")
    .description("check whether an endpoint is safe to give to a provider")
    .argument("[url]", ENDPOINT)
    .addOption(providerOption())
    .option("--report <url>", "where the app lists the events that it has handled, for checks that need it")
    .option("--only <id>", "run this check (repeatable)", several)
    .option("--list", "show all checks and run none")
    .option("--timeout <seconds>", "how long to wait for an answer, at most 60", positive, 5)
    .option("--junit <file>", "write the report to this file as JUnit XML")
    .option("--tap <file>", "write the report to this file as TAP 14")
    .option("--badge <file>", "write the verdict to this file as an SVG")
    .addOption(secretOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Example:
  $ crowdhook audit http://127.0.0.1:3000${EXAMPLE_PATH}

The audit sends about 300 deliveries, good and bad, 100 MB in all. The app handles the invented events in the
good ones, so audit a copy of it that nobody's work depends on.
${SECRETS}
The first of several secrets signs. The endpoint must accept the second one as well.

Exit status: 0 if no MUST failed, 1 if one failed or there is nothing to audit, 2 for a mistake in the
command line or the environment.`,
    )
    .action(async (url, options) => end((await import("../commands/audit.js")).auditEndpoint(url, options)));
}

const FORMATS = ["json-schema", "asyncapi", "openapi"] as const satisfies readonly ContractFormat[];

export function addSchema(program: Command, end: End): void {
  program
    .command("schema")
    .description("print a contract of a provider's deliveries, for other tools")
    .addOption(providerOption().makeOptionMandatory())
    .addOption(
      new Option(
        "--format <format>",
        "the kind of document: JSON Schema 2020-12, AsyncAPI 3.0 or OpenAPI 3.1",
      )
        .choices(FORMATS)
        .default("json-schema"),
    )
    .addHelpText(
      "after",
      `
Example:
  $ crowdhook schema --provider ${SENDERS[0]?.provider.name} --format openapi
${EXIT_STATUS}`,
    )
    .action(async (options) => end((await import("../schema.js")).printSchema(options)));
}

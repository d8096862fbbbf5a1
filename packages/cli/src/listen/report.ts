import type { Reply } from "@crowdhook/core";
import type { Inspection } from "@crowdhook/core/inspect";
import { encodeBody } from "@crowdhook/core/internal";
import { shownEvents } from "../events.js";
import { answerOf } from "../http/answer.js";
import { capitalized, colours, counted, duration, listed, marked, print, printText } from "../output.js";
import { PROVIDERS, providersFor } from "../providers.js";
import { statusOf } from "./filter.js";
import { type HandledRequest, sentencesOf } from "./handled.js";
import type { ListenOptions, Secrets } from "./options.js";
import { payloadLines } from "./payload.js";

export function printWelcome(
  url: string,
  target: URL | undefined,
  secrets: Secrets,
  options: ListenOptions,
  ui?: string,
): void {
  print(`Listening on ${colours.bold(url)}, any path. Ctrl-C ends it.`);
  for (const provider of providersFor(options.provider)) {
    const { title, secretVariable } = provider;
    const { length } = secrets.get(provider) ?? [];
    const unverified = colours.yellow(`nothing is verified; ${secretVariable} is not set`);
    print(`  ${title}: ${length > 0 ? `${length} secret${length > 1 ? "s" : ""}` : unverified}`);
  }
  if (target)
    print(`  Forwarding to ${target.pathname === "/" && !target.search ? target.origin : target.href}`);
  if (options.save) print(`  Saving to ${options.save}`);
  const filters = [
    options.event && `with ${options.event.join(" or ")}`,
    options.status && `answered ${options.status.join(" or ")}`,
  ];
  if (filters.some(Boolean)) print(`  Showing only deliveries ${filters.filter(Boolean).join(", ")}`);
  if (ui) print(`  The page: ${ui}`);
  print();
}

export function printRequest(handled: HandledRequest, options: ListenOptions): void {
  const { receivedAt, method, path, bytes } = handled;
  const time = receivedAt.toTimeString().slice(0, 8);
  print(`${colours.dim(time)} ${method} ${path}${bytes === undefined ? "" : `, ${bytes} bytes`}`);
  printInspection(handled);
  const { shown, leftOut } = shownEvents(handled.inspection?.events ?? []);
  for (const { type, id, problems } of shown) {
    print(`    ${type || "(no type)"}  ${colours.dim(id)}`);
    if (problems?.length === 0) print(`      ${colours.yellow("a type that this release does not know")}`);
    for (const problem of problems ?? []) print(`      ${colours.yellow(problem)}`);
  }
  if (leftOut > 0) print(`    … and ${leftOut} more events`);
  for (const line of payloadLines(handled.body ?? new Uint8Array(), options)) printText(`    ${line}`);
  printOutcome(handled, options);
}

function printInspection(handled: HandledRequest): void {
  const { provider, secrets, inspection, mistakes = [], unread, notInspected } = handled;
  if (notInspected) print(`  ${marked(false, `the delivery could not be inspected: ${notInspected}`)}`);
  if (notInspected && !inspection) return;
  if (!provider || !inspection) {
    const titles = listed(
      PROVIDERS.map(({ title }) => title),
      "or",
    );
    print(
      `  ${marked(false, unread ?? `neither its headers nor its body look like a delivery of ${titles}`)}`,
    );
  } else if (inspection.code) {
    print(`  ${marked(false, `${provider.title}: ${inspection.code}`)}`);
    for (const { mistake, fix } of mistakes)
      print(`    ${colours.yellow(capitalized(sentencesOf({ mistake, fix })))}`);
    if (mistakes.length === 0) print(`    ${explain(inspection)}`);
  } else if (secrets > 0) {
    const { age = 0, secret = 0 } = inspection;
    const which = secrets > 1 ? ` with secret ${secret + 1} of ${secrets}` : "";
    const ago = age < 0 ? `${duration(-age)} ahead of this clock` : `${duration(age)} ago`;
    print(`  ${marked(true, `${provider.title}, genuine: signed${which} ${ago}`)}`);
  } else {
    print(`  ${colours.yellow("?")} ${provider.title}, not verified: there is no secret for it`);
  }
}

function explain({ code, reason = "" }: Inspection): string {
  const sentence = capitalized(reason);
  return code === "SIGNATURE_MISMATCH"
    ? `${sentence} No usual mistake explains it: the sender has another secret, or something changed the body on its way.`
    : sentence;
}

function printOutcome({ file, notSaved, forwarded, reply }: HandledRequest, { save }: ListenOptions): void {
  if (file) print(`  saved as ${file}`);
  if (notSaved) print(`  ${marked(false, `not saved in ${save}: ${notSaved}`)}`);
  if (forwarded?.answer) print(`  → ${forwarded.url.href} answered ${answerOf(forwarded.answer)}`);
  else if (forwarded) print(`  → ${marked(false, `${forwarded.failure.message} Answered 502.`)}`);
  else if (reply) print(`  → ${reply.status} ${outcomeOf(reply)}`);
}

function outcomeOf({ body }: Reply): string {
  const { code, handled = 0, duplicate = 0, unrecognized = 0 } = JSON.parse(body);
  return code ?? counted({ handled, duplicate, unrecognized });
}

/** In bytes. A longer body is in the line of `--json` only with `--full`. */
const BODY_MAX = 10_000;

/** Returns the line of `--json` for a request. */
export function recordOf(handled: HandledRequest, { full }: ListenOptions) {
  const { receivedAt, provider, inspection, mistakes, forwarded, reply, secrets, body, headers, ...rest } =
    handled;
  const { code, reason, secret, age, events } = inspection ?? {};
  const { shown, leftOut = 0 } = events ? shownEvents(events) : {};
  return {
    receivedAt,
    ...rest,
    provider: provider?.name,
    mistakes: mistakes?.map(({ name, mistake, fix }) => ({ name, mistake, fix })),
    verified: inspection !== undefined && secrets > 0 && code === undefined,
    code,
    reason,
    secret: secret === undefined ? undefined : secret + 1,
    age,
    events: shown,
    ...(leftOut > 0 && { eventsLeftOut: leftOut }),
    ...(forwarded && { forwardedTo: forwarded.url, failure: forwarded.failure?.message }),
    status: statusOf(handled),
    reply: reply && JSON.parse(reply.body),
    ...(body && (full || body.byteLength <= BODY_MAX) && encodeBody(body)),
  };
}

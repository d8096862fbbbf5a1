import http from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver, type Receiver, type Reply } from "@crowdhook/core";
import { gather, writeNodeReply } from "@crowdhook/core/adapter";
import { type Inspection, inspect } from "@crowdhook/core/inspect";
import { causes } from "./causes.js";
import {
  type Answer,
  agentFor,
  endpoint,
  endToEnd,
  exchange,
  headersOf,
  linesOf,
  trouble,
} from "./exchange.js";
import {
  add,
  colours,
  counted,
  duration,
  Failure,
  marked,
  plain,
  print,
  printJson,
  UsageError,
} from "./output.js";
import {
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  providerOf,
  type SecretOptions,
  secretsFor,
} from "./providers.js";
import { makeFolder, type StoredDelivery, save } from "./stored.js";
import { answerOf } from "./tally.js";

export interface ListenOptions extends SecretOptions {
  readonly port: number;
  readonly host: string;
  readonly provider?: ProviderName;
  readonly forward?: string;
  readonly save?: string;
  readonly tolerance: number;
  readonly timeout: number;
  readonly json?: boolean;
}

/** As a receiver's, unless told otherwise. */
const BODY_MAX = 5 * 1024 * 1024;
/** Someone who does not finish a request holds the end up for this long. */
const STOP_MS = 5_000;

/** Resolves with `true` when a signal has ended it and all that was accepted is answered. */
export async function listen(options: ListenOptions): Promise<boolean> {
  const { json } = options;
  // Checked before anything is received, as an app would at its start.
  const secrets = { toloka: secretsFor("toloka", options), prolific: secretsFor("prolific", options) };
  const forward = options.forward === undefined ? undefined : forwarder(options.forward, options);
  if (options.save !== undefined) await makeFolder(options.save);
  const receivers = receiversFor(secrets, options.tolerance);
  const verdicts: Record<string, number> = {};
  let deliveries = 0;

  const handle = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const receivedAt = new Date();
    const { method = "", rawHeaders, url = "/" } = request;
    const path = url.startsWith("/") ? url : "/";
    const lines = linesOf(rawHeaders);
    const headers = headersOf(lines);
    const body = await read(request);
    deliveries++;
    const seen: Seen = { receivedAt, method, path, secrets: 0 };
    if (!(body instanceof Uint8Array)) {
      const reply = await receivers.toloka.handle({ method, headers, body: () => body });
      writeNodeReply(response, reply);
      seen.reply = reply;
      seen.unread = body.code;
    } else {
      const provider = options.provider ?? providerOf(headers, body);
      seen.bytes = body.byteLength;
      seen.provider = provider;
      if (provider) {
        seen.secrets = secrets[provider].length;
        seen.verdict = await inspect(
          PROVIDERS[provider].provider,
          { headers, body },
          {
            secrets: secrets[provider],
            tolerance: options.tolerance,
            now: receivedAt.getTime(),
          },
        );
        if (seen.secrets > 0 && seen.verdict.code)
          seen.causes = causesOf(provider, { headers, body }, secrets);
      }
      const delivery: StoredDelivery = { receivedAt, method, path, headers: lines, body };
      try {
        // Before it is answered: what was answered can be replayed.
        if (options.save !== undefined) seen.file = await save(options.save, delivery);
      } catch (error) {
        seen.notSaved = (error as NodeJS.ErrnoException).code ?? String(error);
      }
      if (forward) {
        const outcome = await forward(delivery);
        seen.forwarded = outcome;
        if (outcome.answer) passBack(response, outcome.answer);
        else writeNodeReply(response, badGateway(outcome.failure));
      } else {
        seen.reply = await receivers[provider ?? expected(secrets)].handle({ method, headers, body });
        writeNodeReply(response, seen.reply);
      }
    }
    add(
      verdicts,
      seen.verdict
        ? (seen.verdict.code ?? (seen.secrets > 0 ? "genuine" : "not verified"))
        : (seen.unread ?? "not read"),
    );
    if (json) printJson(recordOf(seen));
    else show(seen, options);
  };

  const underWay = new Set<Promise<void>>();
  const server = http.createServer((request, response) => {
    if (!server.listening) response.setHeader("connection", "close");
    const handled = handle(request, response)
      .catch((error: unknown) => {
        console.warn(error);
        response.destroy();
      })
      .finally(() => underWay.delete(handled));
    underWay.add(handled);
  });
  const url = await started(server, options);
  if (forward && isSame(options.forward, url)) {
    server.close();
    throw new UsageError("--forward leads back to this port. Listen on another one, with --port.");
  }
  const stopped = new Promise((resolve) => {
    // A second signal ends it the hard way.
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  if (json) printJson({ listening: url });
  else welcome(url, secrets, options);

  await stopped;
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), STOP_MS).unref();
  await Promise.all(underWay);
  server.closeIdleConnections();
  await closed;
  forward?.close();
  if (json) printJson({ deliveries, verdicts });
  else print(`\n${deliveries} received${deliveries > 0 ? `: ${counted(verdicts, "×")}` : "."}`);
  return true;
}

/** What there is to say of one request. */
interface Seen {
  readonly receivedAt: Date;
  readonly method: string;
  readonly path: string;
  bytes?: number;
  provider?: ProviderName | undefined;
  /** How many there are for this provider. */
  secrets: number;
  verdict?: Inspection;
  /** The mistakes that were found. */
  causes?: readonly { readonly name: string; readonly what: string }[];
  /** Why there is no body. */
  unread?: string;
  reply?: Reply;
  forwarded?: Forwarded;
  file?: string;
  notSaved?: string;
}

type Secrets = Readonly<Record<ProviderName, readonly string[]>>;

function receiversFor(secrets: Secrets, tolerance: number): Readonly<Record<ProviderName, Receiver>> {
  // What receivers log is in the lines of each delivery, and would stand between them.
  console.error = () => {};
  const make = (name: ProviderName) => {
    const { provider } = PROVIDERS[name];
    const source = secrets[name].length > 0 ? { secret: secrets[name] } : { unsigned: true };
    const receiver = createReceiver(provider, { ...source, tolerance, maxBodySize: BODY_MAX });
    // Without it, an event of a new type or form would fail.
    receiver.onUnrecognized(() => {});
    return receiver;
  };
  return { toloka: make("toloka"), prolific: make("prolific") };
}

/** Whose receiver answers what cannot be told: one that has secrets, so that it is refused. */
function expected(secrets: Secrets): ProviderName {
  return PROVIDER_NAMES.find((name) => secrets[name].length > 0) ?? "toloka";
}

function read(request: http.IncomingMessage) {
  const { body, push, end, abort } = gather(BODY_MAX, request.headers["content-length"]);
  request.on("data", push).on("end", end).on("close", abort).on("error", abort);
  return body;
}

function causesOf(
  provider: ProviderName,
  delivery: Pick<Parameters<typeof causes>[0], "headers" | "body">,
  secrets: Secrets,
) {
  const otherSecrets = PROVIDER_NAMES.filter((name) => name !== provider).flatMap((name) => secrets[name]);
  return causes({ ...delivery, provider, secrets: secrets[provider], otherSecrets })
    .filter(({ found }) => found)
    .map(({ name, what }) => ({ name, what }));
}

interface Forwarded {
  readonly url: URL;
  readonly answer?: Answer;
  readonly failure?: Failure;
}

function forwarder(text: string, { timeout }: ListenOptions) {
  const to = endpoint(text, "--forward");
  const agent = agentFor(to("/"), Number.POSITIVE_INFINITY);
  const forward = async (delivery: StoredDelivery): Promise<Forwarded> => {
    const url = to(delivery.path);
    try {
      return { url, answer: await exchange({ ...delivery, url }, { agent, timeout }) };
    } catch (error) {
      return { url, failure: trouble(error, url) };
    }
  };
  return Object.assign(forward, { close: () => agent.destroy() });
}

function passBack(response: http.ServerResponse, { status, headers, body }: Answer): void {
  const lines = endToEnd(headers).filter(([name]) => name.toLowerCase() !== "content-length");
  response.sendDate = false;
  response.writeHead(status, [...lines, ["content-length", String(body.byteLength)]].flat());
  response.end(body);
}

function badGateway(failure: Failure | undefined): Reply {
  const body = JSON.stringify({ message: failure?.message });
  return { status: 502, headers: { "content-type": "application/json" }, body };
}

async function started(server: http.Server, { port, host }: ListenOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) =>
      reject(
        new Failure(
          code === "EADDRINUSE"
            ? `Port ${port} is in use: end what listens there, or take another one with --port.`
            : `Cannot listen on ${host}, port ${port}: ${code}.`,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const { address, family, port: taken } = server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`;
}

function isSame(forward: string | undefined, url: string): boolean {
  if (forward === undefined) return false;
  const { hostname, port } = new URL(forward);
  return port === new URL(url).port && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

function welcome(url: string, secrets: Secrets, options: ListenOptions): void {
  print(`Listening on ${colours.bold(url)}, any path. Ctrl-C ends it.`);
  for (const name of PROVIDER_NAMES.filter((name) => name === (options.provider ?? name))) {
    const { title, variable } = PROVIDERS[name];
    const count = secrets[name].length;
    print(
      `  ${title}: ${count > 0 ? `${count} secret${count > 1 ? "s" : ""}` : colours.yellow(`nothing is verified; ${variable} is not set`)}`,
    );
  }
  if (options.forward) print(`  Forwarding to ${options.forward}`);
  if (options.save) print(`  Saving to ${options.save}`);
  print();
}

function show(seen: Seen, options: ListenOptions): void {
  const { receivedAt, method, path, bytes, provider, secrets, verdict, forwarded, reply } = seen;
  const time = receivedAt.toISOString().slice(11, 19);
  print(`${colours.dim(time)} ${method} ${plain(path)}${bytes === undefined ? "" : `, ${bytes} bytes`}`);
  const title = provider && PROVIDERS[provider].title;
  if (verdict?.code) {
    print(`  ${marked(false, `${title}: ${verdict.code}`)}`);
    for (const { what } of seen.causes ?? []) print(`    ${colours.yellow(what)}`);
    if (!seen.causes?.length) print(`    ${explained(verdict)}`);
  } else if (verdict && secrets > 0) {
    const { age = 0, secret = 0 } = verdict;
    const which = secrets > 1 ? ` with secret ${secret + 1} of ${secrets}` : "";
    print(
      `  ${marked(true, `${title}, genuine: signed${which} ${age < 0 ? `${duration(-age)} ahead of this clock` : `${duration(age)} ago`}`)}`,
    );
  } else if (verdict) {
    print(`  ${colours.yellow("?")} ${title}, not verified: there is no secret for it`);
  } else {
    print(
      `  ${marked(false, seen.unread ?? "neither its headers nor its body look like a delivery of Toloka or Prolific")}`,
    );
  }
  for (const { type, id, problems } of verdict?.events ?? []) {
    print(`    ${plain(type) || "(no type)"}  ${colours.dim(plain(id))}`);
    if (problems?.length === 0) print(`      ${colours.yellow("a type that this release does not know")}`);
    for (const problem of problems ?? []) print(`      ${colours.yellow(plain(problem))}`);
  }
  if (seen.file) print(`  saved as ${seen.file}`);
  if (seen.notSaved) print(`  ${marked(false, `not saved in ${options.save}: ${seen.notSaved}`)}`);
  if (forwarded?.answer) print(`  → ${forwarded.url.href} answered ${answerOf(forwarded.answer)}`);
  else if (forwarded) print(`  → ${marked(false, `${forwarded.failure?.message} Answered 502.`)}`);
  else if (reply) print(`  → ${reply.status} ${outcomeOf(reply)}`);
}

function explained({ code, reason = "" }: Inspection): string {
  const sentence = `${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
  return code === "SIGNATURE_MISMATCH"
    ? `${sentence} None of the usual mistakes: it is signed with another secret, or was changed on its way.`
    : sentence;
}

function outcomeOf({ body }: Reply): string {
  const { code, handled = 0, duplicate = 0, unrecognized = 0 } = JSON.parse(body);
  return code ?? counted({ handled, duplicate, unrecognized });
}

function recordOf({ receivedAt, verdict, forwarded, reply, secrets, ...rest }: Seen) {
  return {
    receivedAt,
    ...rest,
    verified: verdict !== undefined && secrets > 0 && verdict.code === undefined,
    code: verdict?.code,
    reason: verdict?.reason,
    secret: verdict?.secret === undefined ? undefined : verdict.secret + 1,
    age: verdict?.age,
    events: verdict?.events.map(({ type, id, problems }) => ({ type, id, problems })),
    ...(forwarded && { forwardedTo: forwarded.url, failure: forwarded.failure?.message }),
    status: forwarded ? (forwarded.answer?.status ?? 502) : reply?.status,
    reply: reply && JSON.parse(reply.body),
  };
}

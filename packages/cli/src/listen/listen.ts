import http from "node:http";
import type { AddressInfo } from "node:net";
import { suggestion } from "@crowdhook/core/internal";
import { add, counted, Failure, print, printBug, printError, printJson, UsageError } from "../output.js";
import { PROVIDERS } from "../providers.js";
import { secretsFor } from "../secrets.js";
import { makeFolder, markShown, notShownIn } from "../stored.js";
import { showEarlier } from "./earlier.js";
import { createFilter } from "./filter.js";
import { createForwarder } from "./forward.js";
import { createHandler } from "./handle.js";
import { verdictOf } from "./handled.js";
import type { ListenOptions } from "./options.js";
import { printRequest, printWelcome, recordOf } from "./report.js";
import type { Ui } from "./ui.js";

/** A client that does not finish its request delays the end by this time at most. */
const STOP_MS = 5_000;

/** Resolves with `true` once a signal has arrived and every accepted delivery has its answer. */
export async function listen(options: ListenOptions): Promise<boolean> {
  const { json } = options;
  // A secret that cannot be used must show now, not at the first delivery.
  const secrets = new Map(PROVIDERS.map((provider) => [provider, secretsFor(provider, options)]));
  const forwarder = options.forward === undefined ? undefined : createForwarder(options.forward, options);
  if (options.save !== undefined) await makeFolder(options.save);
  const earlier = options.save === undefined ? [] : await notShownIn(options.save);
  const handle = createHandler(secrets, forwarder, options);
  const passes = createFilter(options);
  const isFiltered = Boolean(options.event ?? options.status);
  const verdicts: Record<string, number> = {};
  let deliveries = 0;
  let shown = 0;
  let ui: Ui | undefined;

  const inFlight = new Set<Promise<void>>();
  const server = http.createServer((request, response) => {
    if (!server.listening) response.setHeader("connection", "close");
    const handled = handle(request, response)
      .then(async (handledRequest) => {
        deliveries++;
        ui?.show(handledRequest);
        add(verdicts, verdictOf(handledRequest));
        if (!passes(handledRequest)) return;
        shown++;
        if (json) printJson(recordOf(handledRequest, options));
        else printRequest(handledRequest, options);
        if (handledRequest.file) await markShown(handledRequest.file, handledRequest);
      })
      .catch((error: unknown) => {
        printBug(error);
        response.destroy();
      })
      .finally(() => inFlight.delete(handled));
    inFlight.add(handled);
  });
  const url = await startServer(server, options);
  if (isLoop(forwarder?.target, url)) {
    server.close();
    throw new UsageError("--forward leads back to this port. Listen on another port with --port.");
  }
  ui = options.ui === undefined ? undefined : await (await import("./ui.js")).startUi(options, secrets, url);
  const signal = new Promise((resolve) => {
    // Only once, so that a second signal ends the process.
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  for (const type of options.event ?? []) warnOfType(type);
  if (json) printJson({ listening: url, ui: ui?.url });
  else printWelcome(url, forwarder?.target, secrets, options, ui?.url);
  await showEarlier(earlier, secrets, options);

  await signal;
  await stopServer(server, inFlight);
  await ui?.close();
  forwarder?.close();
  if (json) printJson({ deliveries, ...(isFiltered && { shown }), verdicts });
  else {
    print();
    print(
      `${deliveries} received${isFiltered ? `, ${shown} shown` : ""}${deliveries > 0 ? `: ${counted(verdicts, "×")}` : "."}`,
    );
  }
  return true;
}

/** A provider may add types, so that an unknown one is no mistake for sure. */
function warnOfType(type: string): void {
  const known = PROVIDERS.flatMap(({ eventTypes }) => eventTypes);
  if (known.includes(type)) return;
  printError(`--event: this release knows no event type ${JSON.stringify(type)}.${suggestion(type, known)}`);
}

/** Resolves with the server's URL. */
async function startServer(server: http.Server, { port, host }: ListenOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) =>
      reject(
        new Failure(
          code === "EADDRINUSE"
            ? `Port ${port} is in use. Stop the program that listens there, or choose another port with --port.`
            : `Cannot listen on ${host}, port ${port}: ${code}.`,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const { address, family, port: actual } = server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${actual}`;
}

/** Resolves when every request that was accepted has its answer. */
async function stopServer(server: http.Server, inFlight: ReadonlySet<Promise<void>>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), STOP_MS).unref();
  await Promise.all(inFlight);
  server.closeIdleConnections();
  await closed;
}

function isLoop(target: URL | undefined, url: string): boolean {
  if (target === undefined) return false;
  const { hostname, port } = target;
  return port === new URL(url).port && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

import http from "node:http";
import { json } from "node:stream/consumers";
import type { Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";

export interface AppOptions {
  /** Without a secret the app has no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** Largest accepted difference between a delivery's time and the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Prints a listener's line. Default: `console.log`. */
  readonly log?: (line: string) => void;
}

export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, ...webhookOptions } = options;
  const toloka = tolokaWebhook(secret, webhookOptions);

  toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  toloka.on("DYNAMIC_OVERLAP_COMPLETED", ({ type, data }) =>
    log(`${type} ${data.task_id}, ${data.confidence}`),
  );
  toloka.on("TEST_EVENT", ({ type, data }) => log(`${type} ${data.project_id}`));
  toloka.onUnrecognized(({ type, problems }) => log(["unrecognized", type, ...problems].join(" ")));
  toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  // The server closes these when it shuts down.
  const receivers: Pick<Receiver, "close">[] = [toloka.receiver];
  const webhooks = new Map<string | undefined, http.RequestListener>();
  if (prolificSecret !== undefined) {
    const prolific = prolificWebhook(prolificSecret, webhookOptions);
    prolific.onAny(({ type, data }) => log(`${type} ${data.resource_id}`));
    prolific.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));
    webhooks.set("/prolific-webhook", prolific);
    receivers.push(prolific.receiver);
  }

  const app = http.createServer((request, response) => {
    if (request.method === "POST" && request.url === "/echo") void echo(request, response);
    else (webhooks.get(request.url) ?? toloka)(request, response);
  });
  return { app, receivers };
}

async function echo(request: http.IncomingMessage, response: http.ServerResponse) {
  try {
    const body = JSON.stringify({ echo: await json(request) });
    response.writeHead(200, { "content-type": "application/json" }).end(body);
  } catch {
    response.writeHead(400).end();
  }
}

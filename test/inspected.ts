import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Provider } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type InspectorOptions, mountInspector } from "@crowdhook/inspector";
import { type Captured, createInspector } from "@crowdhook/inspector/internal";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { onTestFinished } from "vitest";
import { type Answer, request } from "./request.js";

export const TOLOKA_SECRET = "toloka-s3cret-of-the-app";
export const PROLIFIC_SECRET = "prolific-s3cret-of-the-app";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Starts an app with two receivers and an inspector, and ends it after the test. */
export async function inspectedApp(options: InspectorOptions = {}, clock?: () => number) {
  const receiver = { logger: SILENT, ...(clock && { clock }) };
  const toloka = tolokaWebhook([`old-${TOLOKA_SECRET}`, TOLOKA_SECRET], receiver);
  const prolific = prolificWebhook(PROLIFIC_SECRET, receiver);
  const server = http.createServer((incoming, response) =>
    incoming.url?.startsWith("/prolific") ? prolific(incoming, response) : toloka(incoming, response),
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  const inspector = mountInspector(server, [toloka, prolific], options);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = inspector.url ?? "";
  const token = url.split("#token=")[1] ?? "";
  const path = options.path ?? "/crowdhook";
  return {
    toloka,
    prolific,
    inspector,
    server,
    origin,
    url,
    token,

    /** Sends what a signer returned, to the path of its provider. */
    async deliver(
      delivery: { readonly headers: Readonly<Record<string, string>>; readonly body: string | Uint8Array },
      to = "/toloka-webhook",
    ): Promise<Answer> {
      return request(origin, { path: to, headers: { ...delivery.headers }, body: delivery.body });
    },

    /** Calls the API. */
    call(method: string, to: string, given: { headers?: Record<string, string>; body?: object } = {}) {
      const { headers = {}, body } = given;
      return request(origin, {
        method,
        path: `${path}/api/${to}`,
        headers: {
          "x-crowdhook-token": token,
          ...(body && { "content-type": "application/json" }),
          ...headers,
        },
        body: body === undefined ? "" : JSON.stringify(body),
      });
    },
  };
}

/** Serves the page of an inspector whose store the test itself fills. */
export async function inspectorWithoutApp() {
  const source = {
    provider: toloka as Provider,
    tolerance: 300,
    secretsFor: async () => [TOLOKA_SECRET],
    deliver: async () => {},
  };
  const inspector = createInspector({ sources: [source], origin: () => "http://127.0.0.1" });
  const server = http.createServer((request, response) =>
    inspector.handle(request, response, request.url ?? "/"),
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    store: inspector.store,
    url: `http://127.0.0.1:${port}/#token=${inspector.token}`,
    /** Returns a genuine delivery of one event, with these changes. */
    captured(changes: Partial<Captured> = {}): Captured {
      const { headers, body } = signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED")] });
      return {
        receivedAt: Date.now(),
        source,
        method: "POST",
        path: "/toloka-webhook",
        headers: Object.entries(headers),
        body: Buffer.from(body),
        verdict: "genuine",
        code: undefined,
        reason: undefined,
        events: [],
        reply: undefined,
        duration: undefined,
        ...changes,
      };
    },
  };
}

/** Calls the API and returns its JSON. */
// biome-ignore lint/suspicious/noExplicitAny: the JSON of any call
export async function json(answer: Promise<Answer>): Promise<any> {
  return JSON.parse((await answer).text);
}

import type http from "node:http";
import type { Reply } from "@crowdhook/core";
import { writeNodeReply } from "@crowdhook/core/adapter";
import type { StoredDelivery } from "@crowdhook/core/internal";
import { endpoint } from "../http/endpoint.js";
import { type Answer, agentFor, endToEnd, exchange, trouble } from "../http/exchange.js";
import type { Failure } from "../output.js";

/** A delivery that was passed on, with the app's answer or why there is none. */
export type Forwarded =
  | { readonly url: URL; readonly answer: Answer; readonly failure?: undefined }
  | { readonly url: URL; readonly answer?: undefined; readonly failure: Failure };

export interface Forwarder {
  /** Where deliveries go that have no path. */
  readonly target: URL;
  /** Passes a delivery on. Never rejects. */
  forward(delivery: StoredDelivery): Promise<Forwarded>;
  close(): void;
}

/** @throws UsageError for a URL that nothing can be sent to. */
export function createForwarder(text: string, { timeout }: { readonly timeout: number }): Forwarder {
  const to = endpoint(text, "--forward");
  const target = to("/");
  const agent = agentFor(target, Number.POSITIVE_INFINITY);
  return {
    target,
    async forward(delivery) {
      const url = to(delivery.path);
      try {
        return { url, answer: await exchange({ ...delivery, url }, { agent, timeout }) };
      } catch (error) {
        return { url, failure: trouble(error, url) };
      }
    },
    close: () => agent.destroy(),
  };
}

/** Writes the app's answer, or 502 if there is none. */
export function passBack(response: http.ServerResponse, { answer, failure }: Forwarded): void {
  if (!answer) {
    writeNodeReply(response, badGateway(failure));
    return;
  }
  const lines = endToEnd(answer.headers).filter(([name]) => name.toLowerCase() !== "content-length");
  response.sendDate = false;
  response.writeHead(answer.status, [...lines, ["content-length", String(answer.body.byteLength)]].flat());
  response.end(answer.body);
}

function badGateway({ message }: Failure): Reply {
  const body = JSON.stringify({ message });
  return { status: 502, headers: { "content-type": "application/json" }, body };
}

import http from "node:http";
import { type SignedDelivery, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { vi } from "vitest";
import { type Answer, type Outgoing, request } from "./request.js";
import { listen } from "./targets.js";

export const SECRET = "12345";

/** A delivery that a webhook with `SECRET` answers with 200. */
export function genuine(): SignedDelivery {
  return signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
}

/** Serves a handler for one request, and returns the answer. */
export async function ask(handler: http.RequestListener, outgoing: Outgoing): Promise<Answer> {
  const { origin, close } = await listen(handler);
  try {
    return await request(origin, outgoing);
  } finally {
    await close();
  }
}

/** Serves a handler for one delivery whose body arrives in two pieces, and returns the status. */
export async function askInTwoPieces(handler: http.RequestListener): Promise<number | undefined> {
  const { origin, close } = await listen(handler);
  const { method, headers, body } = genuine();
  try {
    return await new Promise((resolve, reject) => {
      const url = `${origin}/toloka-webhook`;
      const sent = http.request(url, { method, headers, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on("error", reject);
      sent.write(body.slice(0, 20));
      setImmediate(() => sent.end(body.slice(20)));
    });
  } finally {
    await close();
  }
}

export function statusAndCode(answer: Pick<Answer, "status" | "text">) {
  return { status: answer.status, code: JSON.parse(answer.text).code };
}

/** The status and code of a reply to a delivery whose bytes are gone. */
export const UNAVAILABLE = { status: 500, code: "BODY_UNAVAILABLE" };

/** Returns the lines that are logged while `run` runs. */
export async function logged(run: () => Promise<unknown>): Promise<string> {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    await run();
    return log.mock.calls.join("\n");
  } finally {
    log.mockRestore();
  }
}

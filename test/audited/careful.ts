import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

// By hand and with care: raw bytes, a comparison in constant time, JSON read only after that, and room for
// what Toloka can send. Nothing looks at the time. Of Toloka's short signatures nothing is documented.

/** Its work, given an event's id. */
export type Handle = (id: unknown) => Promise<void>;

export const raw = () => express.raw({ type: () => true, limit: "5mb" });

/** The fields of Toloka's header, in any order. */
export function fieldsOf(header = ""): { v?: string; ts?: string; sign?: string } {
  return Object.fromEntries([...header.matchAll(/(\w+)=(\w+)/g)].map(([, name, value]) => [name, value]));
}

export function isSame(digest: Buffer, signature: Buffer): boolean {
  return digest.length === signature.length && timingSafeEqual(digest, signature);
}

function parsed(body: Buffer) {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

export function carefulToloka(secret: string, handle: Handle) {
  const app = express();
  app.post("/toloka-webhook", raw(), async (request, response) => {
    const { v, ts, sign } = fieldsOf(request.header("toloka-signature"));
    if (!v || !ts || !sign || !Buffer.isBuffer(request.body)) return response.sendStatus(401);
    const digest = createHmac("sha256", secret).update(`${ts}.${v}.`).update(request.body).digest();
    if (!isSame(digest, Buffer.from(sign, "hex"))) return response.sendStatus(401);
    const events = parsed(request.body)?.events;
    if (!Array.isArray(events)) return response.sendStatus(400);
    for (const event of events) await handle(event.uuid);
    return response.sendStatus(200);
  });
  return app;
}

export function carefulProlific(secret: string, handle: Handle) {
  const app = express();
  app.post("/prolific-webhook", raw(), async (request, response) => {
    const signature = request.header("x-prolific-request-signature");
    const timestamp = request.header("x-prolific-request-timestamp");
    const id = request.header("x-event-id");
    if (!signature || !timestamp || !id || !Buffer.isBuffer(request.body)) return response.sendStatus(401);
    const digest = createHmac("sha256", secret).update(timestamp).update(request.body).digest();
    if (!isSame(digest, Buffer.from(signature, "base64"))) return response.sendStatus(401);
    if (typeof parsed(request.body)?.event_type !== "string") return response.sendStatus(400);
    await handle(id);
    return response.sendStatus(200);
  });
  return app;
}

/** Remembers what was handled. Looks first and notes afterwards, so that what fails can come again. */
export function remembering(handle: Handle): Handle {
  const handled = new Set<unknown>();
  return async (id) => {
    if (handled.has(id)) return;
    await handle(id);
    handled.add(id);
  };
}

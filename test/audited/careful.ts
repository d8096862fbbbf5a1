import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

// Written by hand, with care: raw bytes, a comparison in constant time, JSON parsed only after that, and a
// limit above Toloka's largest delivery. They do not check the time, and Toloka does not document its short
// signatures.

/** The app's work for one event. */
export type Handle = (id: unknown) => Promise<void>;

export const raw = () => express.raw({ type: () => true, limit: "5mb" });

/** Returns the fields of Toloka's header, in any order. */
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

/** Skips ids that were handled. Stores an id after its work, so that a failed event can be delivered again. */
export function remembering(handle: Handle): Handle {
  const handled = new Set<unknown>();
  return async (id) => {
    if (handled.has(id)) return;
    await handle(id);
    handled.add(id);
  };
}

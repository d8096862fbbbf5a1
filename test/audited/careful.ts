import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

// By hand and with care: raw bytes, a comparison in constant time, JSON read only after that, and room for
// what Toloka can send. Nothing remembers what was handled, and nothing looks at the time.

const raw = () => express.raw({ type: () => true, limit: "5mb" });

function fits(digest: Buffer, signature: Buffer): boolean {
  return digest.length === signature.length && timingSafeEqual(digest, signature);
}

function parsed(body: Buffer) {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

export function carefulToloka(secret: string, handle: (id: string) => unknown) {
  const app = express();
  app.post("/toloka-webhook", raw(), async (request, response) => {
    const header = request.header("toloka-signature") ?? "";
    const [, v, ts, sign] = /^\{v=(\d+), ts=(\d+), sign=([0-9a-f]+)\}$/.exec(header) ?? [];
    if (sign === undefined || !Buffer.isBuffer(request.body)) return response.sendStatus(401);
    const hmac = createHmac("sha256", secret).update(`${ts}.${v}.`).update(request.body);
    if (!fits(hmac.digest(), Buffer.from(sign, "hex"))) return response.sendStatus(401);
    const events = parsed(request.body)?.events;
    if (!Array.isArray(events)) return response.sendStatus(400);
    for (const event of events) await handle(event.uuid);
    return response.sendStatus(200);
  });
  return app;
}

export function carefulProlific(secret: string, handle: (id: string) => unknown) {
  const app = express();
  app.post("/prolific-webhook", raw(), async (request, response) => {
    const signature = request.header("x-prolific-request-signature");
    const timestamp = request.header("x-prolific-request-timestamp");
    const id = request.header("x-event-id");
    if (!signature || !timestamp || !id || !Buffer.isBuffer(request.body)) return response.sendStatus(401);
    const hmac = createHmac("sha256", secret).update(timestamp).update(request.body);
    if (!fits(hmac.digest(), Buffer.from(signature, "base64"))) return response.sendStatus(401);
    if (typeof parsed(request.body)?.event_type !== "string") return response.sendStatus(400);
    await handle(id);
    return response.sendStatus(200);
  });
  return app;
}

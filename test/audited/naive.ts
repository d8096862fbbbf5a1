import { createHmac } from "node:crypto";
import express from "express";
import type { Handle } from "./careful.js";

// As in many tutorials: a parser reads the body, and the signature is computed over JSON written from that.

export function naiveToloka(secret: string, handle: Handle) {
  const app = express();
  app.use(express.json());
  app.post("/toloka-webhook", async (request, response) => {
    const header = request.header("toloka-signature") ?? "";
    const [, v, ts, sign] = /v=(\d+), ts=(\d+), sign=(\w+)/.exec(header) ?? [];
    const signed = `${ts}.${v}.${JSON.stringify(request.body)}`;
    if (createHmac("sha256", secret).update(signed).digest("hex") === sign) {
      for (const event of request.body.events) await handle(event.uuid);
      response.sendStatus(200);
    } else {
      response.sendStatus(401);
    }
  });
  return app;
}

export function naiveProlific(secret: string, handle: Handle) {
  const app = express();
  app.use(express.json());
  app.post("/prolific-webhook", async (request, response) => {
    const signed = request.header("x-prolific-request-timestamp") + JSON.stringify(request.body);
    const signature = createHmac("sha256", secret).update(signed).digest("base64");
    if (signature === request.header("x-prolific-request-signature")) {
      await handle(request.header("x-event-id"));
      response.sendStatus(200);
    } else {
      response.sendStatus(401);
    }
  });
  return app;
}

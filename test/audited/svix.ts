import express from "express";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import type { Handle } from "./careful.js";

// Svix's documentation, "How to Verify Webhooks with the Svix Libraries", shows this handler for Express. The
// README of standardwebhooks shows the same call of `verify`, without a server around it. Neither example
// mentions repeated events or sets a size limit. `express.raw()` limits bodies to 100 kB.

function verifying(webhook: Pick<SvixWebhook, "verify">, handle: Handle) {
  const app = express();
  app.post(
    "/standard-webhooks-webhook",
    express.raw({ type: "application/json" }),
    async (request, response) => {
      try {
        webhook.verify(request.body as Buffer, request.headers as Record<string, string>);
      } catch {
        response.status(400).json({});
        return;
      }
      await handle(request.header("webhook-id"));
      response.json({});
    },
  );
  return app;
}

export function standardWebhooksExample(secret: string, handle: Handle) {
  return verifying(new StandardWebhook(secret), handle);
}

export function svixExample(secret: string, handle: Handle) {
  return verifying(new SvixWebhook(secret), handle);
}

import { Webhooks } from "@octokit/webhooks";
import express from "express";
import { fieldsOf, type Handle, raw } from "./careful.js";

// `verify` of @octokit/webhooks expects GitHub's scheme: `sha256=` and the hexadecimal HMAC of a text. The
// handlers for Toloka and Prolific pass it the text that the provider signs. The library's middleware does
// not fit them: it verifies the body alone, and requires GitHub's headers with an id and a type. The library
// does not claim to check the time, which GitHub does not send.

export function octokitToloka(secret: string, handle: Handle) {
  const webhooks = new Webhooks({ secret });
  const app = express();
  app.post("/toloka-webhook", raw(), async (request, response) => {
    const { v, ts, sign } = fieldsOf(request.header("toloka-signature"));
    const isGenuine = await webhooks.verify(`${ts}.${v}.${request.body}`, `sha256=${sign}`);
    if (!isGenuine) return response.sendStatus(401);
    try {
      for (const event of JSON.parse(`${request.body}`).events) await handle(event.uuid);
    } catch {
      return response.sendStatus(400);
    }
    return response.sendStatus(200);
  });
  return app;
}

export function octokitProlific(secret: string, handle: Handle) {
  const webhooks = new Webhooks({ secret });
  const app = express();
  app.post("/prolific-webhook", raw(), async (request, response) => {
    const signature = request.header("x-prolific-request-signature") ?? "";
    const timestamp = request.header("x-prolific-request-timestamp") ?? "";
    const digest = Buffer.from(signature, "base64");
    // Several texts decode to the same bytes. Only the regular one is accepted.
    const isGenuine =
      digest.toString("base64") === signature &&
      (await webhooks.verify(`${timestamp}${request.body}`, `sha256=${digest.toString("hex")}`));
    if (!isGenuine) return response.sendStatus(401);
    try {
      if (typeof JSON.parse(`${request.body}`).event_type !== "string") return response.sendStatus(400);
    } catch {
      return response.sendStatus(400);
    }
    await handle(request.header("x-event-id"));
    return response.sendStatus(200);
  });
  return app;
}

/**
 * CVAT signs as GitHub does, under another header. The handler is the TypeScript example of GitHub's
 * documentation, "Validating webhook deliveries". The example parses no JSON. It does not expect a missing
 * header. CVAT sends no id, so the digest serves as the id.
 */
export function octokitCvat(secret: string, handle: Handle) {
  const webhooks = new Webhooks({ secret });
  const app = express();
  app.post("/cvat-webhook", express.raw({ type: "application/json" }), async (request, response) => {
    const signature = request.headers["x-signature-256"] as string;
    const body = String(request.body);
    if (!(await webhooks.verify(body, signature))) {
      response.status(401).send("Unauthorized");
      return;
    }
    await handle(signature.slice("sha256=".length));
    response.status(200).end();
  });
  return app;
}

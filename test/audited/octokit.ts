import { Webhooks } from "@octokit/webhooks";
import express from "express";

// `verify` of @octokit/webhooks, which is made for GitHub's scheme: `sha256=` and the hexadecimal HMAC of a
// text. It is given what Toloka or Prolific sign, in that form. Its middleware cannot be: that signs the
// body alone. The time, which GitHub does not send, it never claimed to check.

const raw = () => express.raw({ type: () => true, limit: "5mb" });

export function octokitToloka(secret: string, handle: (id: string) => unknown) {
  const webhooks = new Webhooks({ secret });
  const app = express();
  app.post("/toloka-webhook", raw(), async (request, response) => {
    const header = request.header("toloka-signature") ?? "";
    const [, v, ts, sign] = /^\{v=(\d+), ts=(\d+), sign=([0-9a-f]+)\}$/.exec(header) ?? [];
    const isGenuine = sign && (await webhooks.verify(`${ts}.${v}.${request.body}`, `sha256=${sign}`));
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

export function octokitProlific(secret: string, handle: (id: string) => unknown) {
  const webhooks = new Webhooks({ secret });
  const app = express();
  app.post("/prolific-webhook", raw(), async (request, response) => {
    const signature = request.header("x-prolific-request-signature");
    const timestamp = request.header("x-prolific-request-timestamp");
    const id = request.header("x-event-id");
    if (!signature || !timestamp || !id) return response.sendStatus(401);
    const hex = Buffer.from(signature, "base64").toString("hex");
    const isGenuine = await webhooks.verify(`${timestamp}${request.body}`, `sha256=${hex}`);
    if (!isGenuine) return response.sendStatus(401);
    try {
      if (typeof JSON.parse(`${request.body}`).event_type !== "string") return response.sendStatus(400);
    } catch {
      return response.sendStatus(400);
    }
    await handle(id);
    return response.sendStatus(200);
  });
  return app;
}

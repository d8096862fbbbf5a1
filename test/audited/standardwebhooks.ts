import { timingSafeEqual } from "node:crypto";
import express from "express";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

interface Envelope {
  readonly events: readonly { readonly uuid: string }[];
}

/**
 * Toloka's deliveries checked by standardwebhooks, which has a scheme of its own: it signs
 * `id.seconds.body`, Toloka `milliseconds.version.body`. The HMAC, the check of the time and the reading of
 * JSON are the library's; the header and the comparison are the adapter's. Prolific signs its time and the
 * body with nothing in between, which the library cannot.
 */
export function standardWebhooksToloka(secret: string, handle: (id: string) => unknown) {
  const webhook = new Webhook(secret, { format: "raw" });

  function verified(header: string, body: Buffer): unknown {
    const [, v, ts, sign] = /^\{v=(\d+), ts=(\d+), sign=([0-9a-f]+)\}$/.exec(header) ?? [];
    if (!v || !ts || !sign) throw new WebhookVerificationError("Missing required headers");
    const [, expected = ""] = webhook.sign(ts, new Date(Number(v) * 1000), body).split(",");
    const [digest, signature] = [Buffer.from(expected, "base64"), Buffer.from(sign, "hex")];
    if (digest.length !== signature.length || !timingSafeEqual(digest, signature))
      throw new WebhookVerificationError("No matching signature found");
    // Known to be genuine by now: this has the library check the time as it does in its own scheme.
    const time = new Date(Number(ts));
    return webhook.verify(body, {
      "webhook-id": ts,
      "webhook-timestamp": `${Math.floor(time.getTime() / 1000)}`,
      "webhook-signature": webhook.sign(ts, time, body),
    });
  }

  const app = express();
  app.post("/toloka-webhook", express.raw({ type: () => true, limit: "5mb" }), async (request, response) => {
    try {
      const envelope = verified(request.header("toloka-signature") ?? "", request.body as Buffer) as Envelope;
      for (const event of envelope.events) await handle(event.uuid);
      response.sendStatus(200);
    } catch (error) {
      response.sendStatus(error instanceof WebhookVerificationError ? 401 : 400);
    }
  });
  return app;
}

import express from "express";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { fieldsOf, type Handle, isSame, raw } from "./careful.js";

interface Envelope {
  readonly events: readonly { readonly uuid: unknown }[];
}

/**
 * Verifies Toloka's deliveries with standardwebhooks. The library signs `id.seconds.body`, Toloka signs
 * `milliseconds.version.body`. The library computes the HMAC, checks the time and parses JSON; this adapter
 * parses the header and compares the digests. Prolific does not fit, because it signs no separator between
 * the time and the body.
 */
export function standardWebhooksToloka(secret: string, handle: Handle) {
  const webhook = new Webhook(secret, { format: "raw" });

  function verified(header: string | undefined, body: Buffer): Envelope {
    const { v, ts, sign } = fieldsOf(header);
    if (!v || !ts || !sign) throw new WebhookVerificationError("Missing required headers");
    const [, expected = ""] = webhook.sign(ts, new Date(Number(v) * 1000), body).split(",");
    if (!isSame(Buffer.from(expected, "base64"), Buffer.from(sign, "hex")))
      throw new WebhookVerificationError("No matching signature found");
    // The signature is valid. A second signature, in the library's own scheme, makes it check the time.
    const time = new Date(Number(ts));
    return webhook.verify(body, {
      "webhook-id": ts,
      "webhook-timestamp": `${Math.floor(time.getTime() / 1000)}`,
      "webhook-signature": webhook.sign(ts, time, body),
    }) as Envelope;
  }

  const app = express();
  app.post("/toloka-webhook", raw(), async (request, response) => {
    try {
      const envelope = verified(request.header("toloka-signature"), request.body as Buffer);
      for (const event of envelope.events) await handle(event.uuid);
      response.sendStatus(200);
    } catch (error) {
      response.sendStatus(error instanceof WebhookVerificationError ? 401 : 400);
    }
  });
  return app;
}

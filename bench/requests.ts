/** The requests that are sent over HTTP: the same body in the manner of Toloka, and of GitHub. */
import { createHmac, randomUUID } from "node:crypto";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";

export const SECRET = "5f0c7e1b-93a4-4bd1-8f6e-2d7a90c3b6e5";

export type Manner = "toloka" | "github";

export const PATHS: Readonly<Record<Manner, string>> = {
  toloka: "/toloka-webhook",
  github: "/api/github/webhooks",
};

/** The bytes of a request with one event that was never sent before. */
export function request(manner: Manner): Buffer {
  const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("ASSIGNMENT_SUBMITTED")] });
  const signed =
    manner === "toloka"
      ? [`toloka-signature: ${headers["toloka-signature"]}`]
      : [
          "x-github-event: push",
          `x-github-delivery: ${randomUUID()}`,
          `x-hub-signature-256: sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
        ];
  const head = [
    `POST ${PATHS[manner]} HTTP/1.1`,
    "host: 127.0.0.1",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...signed,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

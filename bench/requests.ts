/** The requests that are sent over HTTP: the same body in the manner of Toloka, and of GitHub. */
import { createHmac, randomUUID } from "node:crypto";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";

export const SECRET = "5f0c7e1b-93a4-4bd1-8f6e-2d7a90c3b6e5";

export type Manner = "toloka" | "github";

export const PATHS: Readonly<Record<Manner, string>> = {
  toloka: "/toloka-webhook",
  github: "/api/github/webhooks",
};

/** A delivery with one event that was never sent before. */
export function signed(manner: Manner): { headers: Record<string, string>; body: string } {
  const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("ASSIGNMENT_SUBMITTED")] });
  if (manner === "toloka") return { headers: { ...headers }, body };
  return {
    headers: {
      "content-type": "application/json",
      "x-github-event": "push",
      "x-github-delivery": randomUUID(),
      "x-hub-signature-256": `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
    },
    body,
  };
}

/** The bytes of a request with such a delivery. */
export function request(manner: Manner): Buffer {
  const { headers, body } = signed(manner);
  const head = [
    `POST ${PATHS[manner]} HTTP/1.1`,
    "host: 127.0.0.1",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

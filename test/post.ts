import http from "node:http";
import { signToloka } from "@crowdhook/core/testing";

export const SECRET = "12345";

export interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly retryAfter: string | undefined;
}

/** Signs these events with `SECRET` and sends them in one delivery. Rejects without a complete answer. */
export function post(url: string, events: readonly object[], agent: http.Agent): Promise<Answer> {
  const { method, headers, body } = signToloka({ secret: SECRET, events });
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method,
      agent,
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
    });
    request.on("error", reject);
    request.on("response", async (response) => {
      try {
        let text = "";
        for await (const chunk of response) text += chunk;
        const { code } = JSON.parse(text);
        resolve({ status: response.statusCode ?? 0, code, retryAfter: response.headers["retry-after"] });
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
}

import http from "node:http";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface Outgoing {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array;
  /** Sends the body in chunks, without a Content-Length. */
  chunked?: boolean;
}

/** Sends a request over a real socket. Resolves with the answer, even if the body is still being sent. */
export function request(origin: string, outgoing: Outgoing): Promise<Answer> {
  const { method = "POST", path = "/toloka-webhook", headers = {}, body = "", chunked = false } = outgoing;
  const bytes = Buffer.from(body as Uint8Array);
  return new Promise((resolve, reject) => {
    const length = chunked ? { "transfer-encoding": "chunked" } : { "content-length": bytes.byteLength };
    const sent = http.request(new URL(path, origin), {
      method,
      headers: { ...length, ...headers },
      agent: false,
    });
    sent.on("error", reject);
    sent.on("response", async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: Buffer.concat(chunks).toString(),
      });
    });
    sent.end(bytes);
  });
}

import http from "node:http";
import type { AddressInfo } from "node:net";
import type { InspectorCore } from "@crowdhook/inspector/internal";
import { Failure } from "../output.js";

export interface UiServer {
  /** With the token. Whoever has it sees the deliveries. */
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the page of an inspector, on this machine only. @param port 0 takes a free one. */
export async function serveUi(inspector: InspectorCore, port: number): Promise<UiServer> {
  const server = http.createServer((request, response) => {
    void inspector.handle(request, response, request.url ?? "/");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) =>
      reject(
        new Failure(`The page cannot be served on port ${port}: ${code}. Choose another port with --ui.`),
      ),
    );
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${actual}/#token=${inspector.token}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      // The stream of an open page has no end.
      server.closeAllConnections();
      await closed;
    },
  };
}

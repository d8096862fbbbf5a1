import { once } from "node:events";
import http from "node:http";
import { beforeEach, describe, expect, test } from "vitest";
import { CORE } from "./serve-provider.js";
import { CASES, prepare } from "./started.js";

describe.each(CASES.filter(({ app }) => app !== CORE))("$title on $name: large bodies", (given) => {
  const { defaultPath } = given.sender.provider;
  const { start, expectAlive } = prepare(given);
  let running: Awaited<ReturnType<typeof start>>;
  beforeEach(async () => {
    running = await start();
  });

  test.each([
    ["in chunks", "close", {}],
    ["in chunks", "keep-alive", {}],
    ["with their Content-Length", "close", { "content-length": 50 * 1024 * 1024 }],
  ])(
    "sender of 50 MB %s (Connection: %s) reads a 413, and memory stays flat",
    async (_, connection, headers) => {
      const piece = Buffer.alloc(64 * 1024);
      const before = process.memoryUsage.rss();
      let most = before;
      const sent = http.request(`${running.origin}${defaultPath}`, {
        method: "POST",
        headers: { connection, ...headers },
      });
      // After the answer a wait for "drain" may never end. Node would warn of so many listeners.
      sent.setMaxListeners(0);
      const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
        sent.on("response", resolve);
        sent.on("error", reject);
      });
      for (let i = 0; i < 800; i++) {
        if (!sent.write(piece)) await Promise.race([once(sent, "drain"), answered]);
        most = Math.max(most, process.memoryUsage.rss());
      }
      sent.end();
      const response = await answered;
      response.resume();
      expect(response.statusCode).toBe(413);
      // Sender and receiver share this process. The limit allows for the 5 MiB that are kept, and for garbage.
      expect(most - before).toBeLessThan(40 * 1024 * 1024);
      await expectAlive(running);
    },
  );
});

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { audit } from "@crowdhook/audit";
import { describe, expect, test } from "vitest";
import { idsWith, notPassed, type OnTestFinished, PROVIDERS, startPlainEndpoint } from "./audit-runs.js";
import type { EndpointProvider } from "./plain-endpoint.js";

describe("audit through a proxy", () => {
  /** Starts a proxy that rewrites the head of the first request, or hangs up if `rewrite` returns nothing. */
  const startProxy = async (
    onTestFinished: OnTestFinished,
    provider: EndpointProvider,
    rewrite: (head: string) => string | undefined,
  ) => {
    const options = await startPlainEndpoint(onTestFinished, provider);
    const { port } = new URL(options.url);
    const front = net.createServer((sender) => {
      const endpoint = net.connect(Number(port), "127.0.0.1");
      sender.on("error", () => endpoint.destroy()).on("close", () => endpoint.destroy());
      endpoint.on("error", () => sender.destroy()).on("close", () => sender.destroy());
      sender.once("data", (data) => {
        const [head = "", ...rest] = data.toString("latin1").split("\r\n\r\n");
        const rewritten = rewrite(head);
        if (rewritten === undefined) return sender.destroy();
        endpoint.write([rewritten, ...rest].join("\r\n\r\n"), "latin1");
        return sender.pipe(endpoint).pipe(sender);
      });
    });
    await once(front.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void front.close());
    return { ...options, url: `http://127.0.0.1:${(front.address() as AddressInfo).port}/webhook` };
  };
  const LENGTH = /\r\ncontent-length: \d+/gi;
  const only = ["http-length-twice", "http-pipelined", "end-alive"];

  test.for(PROVIDERS)(
    "fails http-length-twice if the proxy uses the first of two lengths (%s)",
    async (provider, test) => {
      const options = await startProxy(test.onTestFinished, provider, (head) => {
        return head.replace(LENGTH, "") + (head.match(LENGTH)?.[0] ?? "");
      });
      expect(idsWith("failed", await audit({ ...options, only }))).toEqual(["http-length-twice"]);
    },
  );

  test.for(PROVIDERS)("passes if the proxy hangs up on two lengths (%s)", async (provider, test) => {
    const options = await startProxy(test.onTestFinished, provider, (head) => {
      return head.match(LENGTH)?.length === 2 ? undefined : head;
    });
    expect(notPassed(await audit({ ...options, only }))).toEqual([]);
  });
});

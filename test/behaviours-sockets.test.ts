import { subscribe, unsubscribe } from "node:diagnostics_channel";
import net from "node:net";
import { beforeEach, describe, expect, test } from "vitest";
import { CORE } from "./serve-provider.js";
import { CASES, prepare, type Signed } from "./started.js";

describe.each(CASES.filter(({ app }) => app !== CORE))("$title on $name: connections", (given) => {
  const { defaultPath } = given.sender.provider;
  const { start, signed, eventOfType, expectAlive } = prepare(given);
  let running: Awaited<ReturnType<typeof start>>;
  beforeEach(async () => {
    running = await start();
  });

  /** Returns the start of a request with the delivery's headers, but without the length of its body. */
  const headOf = ({ headers }: Signed, lines: readonly string[] = []) =>
    [
      `POST ${defaultPath} HTTP/1.1`,
      "Host: x",
      ...lines,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      "",
    ].join("\r\n");

  /** Writes raw bytes to a socket, and returns everything that comes back until the server closes it. */
  const raw = (text: string, then: "wait" | "hang up" = "wait") =>
    new Promise<string>((resolve, reject) => {
      const socket = net.connect(Number(new URL(running.origin).port), "127.0.0.1");
      let received = "";
      socket.on("data", (data) => {
        received += data;
      });
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
      socket.write(text, () => then === "hang up" && socket.destroy());
    });

  test("other paths get 404 and reach no listener", async () => {
    const delivery = signed();
    for (const path of [
      "/",
      `${defaultPath}s`,
      `${defaultPath}/more`,
      `/x${defaultPath}`,
      `${defaultPath.toUpperCase()}/x`,
    ]) {
      expect([path, (await running.send({ ...delivery, path })).status]).toEqual([path, 404]);
    }
    expect(running.types).toEqual([]);
  });

  test.each(["/", "?a=b", "/?a=/b"])("webhook answers when its path ends with %s", async (end) => {
    expect((await running.send({ ...signed(), path: `${defaultPath}${end}` })).status).toBe(200);
  });

  test("Content-Length over the limit gets 413, even when the body never comes", async () => {
    const answer = raw(
      `POST ${defaultPath} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6000000\r\n\r\n{`,
    );
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
    await expectAlive(running);
  });

  test("bytes after the Content-Length are not part of the body", async () => {
    const delivery = signed();
    const head = headOf(delivery, ["Connection: close"]);
    const answer = await raw(`${head}Content-Length: 5\r\n\r\n${delivery.body}`);
    expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
    await expectAlive(running);
  });

  test("aborted upload runs no listener, and the server stays up", async () => {
    for (let i = 0; i < 20; i++) {
      await raw(`${headOf(signed())}Content-Length: 1000\r\n\r\n{"events":`, "hang up");
    }
    await expectAlive(running);
  });

  test.each<[string, (body: string) => string]>([
    ["fewer bytes than its Content-Length", (body) => `Content-Length: ${body.length + 1}\r\n\r\n${body}`],
    [
      "a chunked body without its last chunk",
      (body) => `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n`,
    ],
  ])("a delivery is BODY_ABORTED when the sender hangs up after %s", async (_, rest) => {
    const code = new Promise((resolve) => {
      const take = (record: unknown) => {
        unsubscribe("crowdhook:delivery", take);
        resolve((record as { code?: string }).code);
      };
      subscribe("crowdhook:delivery", take);
    });
    const delivery = signed();
    await raw(`${headOf(delivery)}${rest(delivery.body)}`, "hang up");
    expect(await code).toBe("BODY_ABORTED");
    await expectAlive(running);
  });

  test("context.signal aborts when the sender hangs up before the answer", async () => {
    const delivery = signed();
    const { body } = delivery;
    let hangUp = () => {};
    const aborted = new Promise<void>((resolve) => {
      running.webhook.on(given.sender.defaultType, async (_, { signal }) => {
        signal.addEventListener("abort", () => resolve());
        hangUp();
        await aborted;
      });
    });
    const socket = net.connect(Number(new URL(running.origin).port), "127.0.0.1");
    hangUp = () => socket.destroy();
    socket.write(`${headOf(delivery)}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    await aborted;
    expect((await running.send(signed({ events: [eventOfType("STILL_ALIVE")] }))).status).toBe(200);
  });
});

import http from "node:http";
import { tolokaWebhook } from "@crowdhook/node";
import { describe, expect, test } from "vitest";
import { ask, genuine, logged, SECRET } from "./mounted.js";
import { listen } from "./targets.js";

describe("node:http", () => {
  test("webhook matches the path of an absolute URL in the request line", async () => {
    const { origin, close } = await listen(tolokaWebhook(SECRET));
    const { headers, body } = genuine();
    const answer = await new Promise<number | undefined>((resolve) => {
      const sent = http.request(
        origin,
        { method: "POST", path: `${origin}/toloka-webhook`, headers },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      sent.end(body);
    });
    await close();
    expect(answer).toBe(200);
  });

  test("webhook logs both paths once when a delivery comes to another path", async () => {
    const webhook = tolokaWebhook(SECRET);
    const log = await logged(async () => {
      expect((await ask(webhook, { path: "/other" })).status).toBe(404);
      for (const _ of [1, 2]) {
        expect((await ask(webhook, { ...genuine(), path: "/other?token=x" })).status).toBe(404);
      }
    });
    expect(log.split("\n")).toEqual([expect.stringMatching(/NOT_FOUND: .*"\/other".*"\/toloka-webhook"/)]);
  });

  test("webhook does not touch a response that other code has sent", async () => {
    const webhook = tolokaWebhook(SECRET);
    const answer = await ask((request, response) => {
      response.writeHead(202).end("taken");
      void webhook(request, response);
    }, genuine());
    expect([answer.status, answer.text]).toEqual([202, "taken"]);
  });
});

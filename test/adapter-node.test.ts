import http from "node:http";
import { tolokaWebhook } from "@crowdhook/node";
import { describe, expect, test } from "vitest";
import { ask, genuine, SECRET } from "./mounted.js";
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

  test("webhook does not touch a response that other code has sent", async () => {
    const webhook = tolokaWebhook(SECRET);
    const answer = await ask((request, response) => {
      response.writeHead(202).end("taken");
      void webhook(request, response);
    }, genuine());
    expect([answer.status, answer.text]).toEqual([202, "taken"]);
  });
});

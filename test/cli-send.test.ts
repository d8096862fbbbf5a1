import { describe, expect, test } from "vitest";
import { jsonOf, linesOf, TOLOKA_SECRET, useCli, webhookApp } from "./cli-fixture.js";

const { listening, run, serve } = useCli();

describe("send", () => {
  test("fails when an answer is not as expected", async () => {
    const { url } = await listening([], { env: { TOLOKA_SECRET: "another" } });
    const refused = await run(["send", "POOL_CLOSED", "--to", url]);
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining("✗ POOL_CLOSED") });
    const open = await serve((_request, response) => response.end());
    expect((await run(["send", "POOL_CLOSED", "--to", open])).code).toBe(0);
    expect((await run(["send", "POOL_CLOSED", "--to", open, "--tamper", "body"])).code).toBe(1);
  });

  test("sends many events in one delivery, with the fields of --data", async () => {
    const { process, url } = await listening(["--json"]);
    const data = JSON.stringify({ type: "NEW\u001b[2J", uuid: "mine", pool_id: "pööl" });
    const args = [
      "send",
      "POOL_CLOSED",
      "--to",
      `${url}/any/path?a=b`,
      "--data",
      "-",
      "--batch",
      "3",
      "--json",
    ];
    expect(jsonOf(await run(args, { input: data })).outcomes).toMatchObject({
      unrecognized: 1,
      duplicate: 2,
    });
    const [, delivery] = linesOf(await process.interrupt());
    expect(delivery.path).toBe("/any/path?a=b");
    expect(delivery.events).toEqual(Array(3).fill({ type: "NEW\u001b[2J", id: "mine", problems: [] }));
  });

  test("counts 1,000 deliveries, and keeps to --rate", async () => {
    const url = `${await serve(webhookApp(TOLOKA_SECRET))}/toloka-webhook`;
    const sent = await run(["send", "ASSIGNMENT_SUBMITTED", "--to", url, "--count", "1000", "--json"]);
    expect(sent.code).toBe(0);
    const result = jsonOf(sent);
    expect(result).toMatchObject({
      sent: 1000,
      statuses: { 200: 1000 },
      outcomes: { handled: 1000, duplicate: 0 },
    });
    const { p50, p90, p99, max } = result.milliseconds;
    expect([p50, p90, p99, max]).toEqual([p50, p90, p99, max].sort((a, b) => a - b));
    expect(p50).toBeGreaterThan(0);

    const slowly = await run([
      "send",
      "TEST_EVENT",
      "--to",
      url,
      "--count",
      "11",
      "--rate",
      "20/s",
      "--json",
    ]);
    // Ten pauses of 50 ms. A timer of Node can fire a little early.
    expect(jsonOf(slowly).seconds).toBeGreaterThan(0.48);
  });
});

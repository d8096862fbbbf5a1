import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { prolificEvent, signProlific, signToloka } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { jsonOf, linesOf, PROLIFIC_SECRET, post, TOLOKA_SECRET, useCli } from "./cli-fixture.js";

const { listening, path, run, serve } = useCli();

describe("replay", () => {
  test("sends stored bytes and headers again in their order, and signs again with --resign", async () => {
    const { process, url } = await listening(["--save", "kept", "--tolerance", "1e6"]);
    const old = Date.now() - 3_600_000;
    const bodies = ['{ "events" : [] }\n', '{"events":[{"ö":"é\\u2028\u2028"}]}'];
    for (const body of bodies)
      await post(`${url}/toloka-webhook`, signToloka({ secret: TOLOKA_SECRET, body, timestamp: old }));
    const event = prolificEvent("study.status.change");
    await post(
      `${url}/prolific-webhook`,
      signProlific({ secret: PROLIFIC_SECRET, event, timestamp: old, id: "kept-id" }),
    );
    // Not UTF-8, and not JSON.
    await post(`${url}/bytes?x`, {
      headers: { "toloka-signature": "{}" },
      body: new Uint8Array([0xff, 0, 10]),
    });
    await process.interrupt();
    const files = readdirSync(path("kept"));
    expect(files).toHaveLength(4);
    const stored = files.map((file) => JSON.parse(readFileSync(path(`kept/${file}`), "utf8")));
    expect(stored.map(({ version, encoding, path }) => [version, encoding, path])).toEqual([
      [1, "utf-8", "/toloka-webhook"],
      [1, "utf-8", "/toloka-webhook"],
      [1, "utf-8", "/prolific-webhook"],
      [1, "base64", "/bytes?x"],
    ]);

    const seen: { url: string | undefined; signature: unknown; body: Buffer }[] = [];
    const app = await serve(async (request, response) => {
      const { headers, url } = request;
      seen.push({ url, signature: headers["toloka-signature"], body: await buffer(request) });
      response.end();
    });
    // The order of the arguments does not matter.
    const [first, ...others] = files.map((file) => `kept/${file}`);
    const replayed = await run(["replay", ...others, first as string, "--to", app]);
    expect(replayed.code).toBe(0);
    expect(seen.map(({ url }) => url)).toEqual([
      "/toloka-webhook",
      "/toloka-webhook",
      "/prolific-webhook",
      "/bytes?x",
    ]);
    expect(seen.slice(0, 2).map(({ body }) => body.toString())).toEqual(bodies);
    expect([...(seen[3]?.body ?? [])]).toEqual([0xff, 0, 10]);
    expect(seen[0]?.signature).toContain(`ts=${old}`);

    rmSync(path(`kept/${files[3] ?? ""}`));
    const receiver = await listening(["--json"]);
    const tooOld = await run(["replay", "kept", "--to", receiver.url]);
    expect(tooOld.code).toBe(1);
    expect(tooOld.stdout).toContain("TIMESTAMP_OUT_OF_TOLERANCE");
    expect(tooOld.stdout).toContain("--resign signs them with the current time");
    const resigned = await run(["replay", "kept", "--to", receiver.url, "--resign", "--json"]);
    expect(resigned.code).toBe(0);
    expect(jsonOf(resigned)).toMatchObject({ sent: 3, statuses: { 200: 3 } });
    const lines = linesOf(await receiver.process.interrupt());
    expect(lines.at(-2)).toMatchObject({ verified: true, provider: "prolific", events: [{ id: "kept-id" }] });
  });

  test("refuses a file that is not a stored delivery, a missing file and an empty folder", async () => {
    writeFileSync(path("no.json"), "{}");
    const to = ["--to", "http://127.0.0.1:1"];
    expect(await run(["replay", "no.json", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("not a stored delivery"),
    });
    expect(await run(["replay", "gone.json", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("there is no such file"),
    });
    mkdirSync(path("empty"));
    expect(await run(["replay", "empty", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no stored deliveries"),
    });
  });
});

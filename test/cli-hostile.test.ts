import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { signToloka } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { jsonOf, linesOf, post, TOLOKA_SECRET, useCli } from "./cli-fixture.js";

const { listening, path, run, serve } = useCli();

const nested = (depth: number, count: number) =>
  `[${Array(count)
    .fill(`${"[".repeat(depth)}${"]".repeat(depth)}`)
    .join(",")}]`;

/** Bodies that cost much to explain or to print. */
const BODIES: readonly (readonly [name: string, body: string])[] = [
  ["nested 100 times 1,000 deep", nested(1_000, 100)],
  ["nested 33 times 3,000 deep", nested(3_000, 33)],
  ["nested 100,000 deep", nested(100_000, 1)],
  ["an event nested 600,000 deep", `{"type":"POOL_CLOSED","x":${nested(600_000, 1)}}`],
  ["400,000 events without a type", `{"events":[{}${",{}".repeat(399_999)}]}`],
  ["a type of a million characters", `{"events":[{"type":"${"x".repeat(1_000_000)}"}]}`],
  [
    "an event with 500,000 problems",
    `{"type":"DYNAMIC_OVERLAP_COMPLETED","assignment_ids":[0${",0".repeat(500_000)}]}`,
  ],
];

/** Little for a body of a megabyte, with room for Node itself. */
const HEAP = { NODE_OPTIONS: "--max-old-space-size=300" };

describe.for(BODIES)("with a body that is %s", ([, body]) => {
  const forged = signToloka({ secret: "guessed", body });
  const unsigned = { headers: { "content-type": "application/json" }, body };

  test.for([
    ["a forged", forged, 401],
    ["no", unsigned, undefined],
  ] as const)(
    "listen saves, answers and reports a delivery with %s signature, and goes on",
    async ([, delivery, status]) => {
      for (const json of [[], ["--json"]]) {
        const folder = path(`saved${json.length}`);
        const { process, url } = await listening(["--save", folder, ...json], {
          env: { TOLOKA_SECRET, ...HEAP },
        });
        const response = await post(`${url}/toloka-webhook`, delivery);
        expect(response.status).toBe(status ?? 401);
        const [file] = await readdir(folder);
        expect(JSON.parse(readFileSync(`${folder}/${file}`, "utf8")).body).toBe(body);
        expect((await post(url, { headers: {}, body: "{}" })).status).toBe(401);
        const { code, stdout, stderr } = await process.interrupt();
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        expect(stdout.length).toBeLessThan(500_000);
        if (json.length > 0) expect(linesOf({ stdout }).at(-1)).toMatchObject({ deliveries: 2 });
        else for (const line of stdout.split("\n")) expect(line.length).toBeLessThan(3_000);
      }
    },
  );

  test("verify says that the signature does not fit", async () => {
    writeFileSync(path("body.json"), body);
    const header = `toloka-signature: ${forged.headers["toloka-signature"]}`;
    const args = ["verify", "--provider", "toloka", "--body", path("body.json")];
    const env = { TOLOKA_SECRET, ...HEAP };
    const { code, stdout, stderr } = await run([...args, "--header", header], { env });
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout).toContain("SIGNATURE_MISMATCH");
    expect(stdout.length).toBeLessThan(500_000);
    const unsigned = await run([...args, "--json"], { env });
    expect(jsonOf(unsigned)).toMatchObject({ ok: false, code: "SIGNATURE_MISSING" });
  });
});

describe("an answer", () => {
  test("of more than 10 MiB is a failure of send, replay and listen --forward", async () => {
    const endless = await serve((_, response) => {
      const chunk = Buffer.alloc(256 * 1024, " ");
      const write = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", write);
      write();
    });
    const sent = await run(["send", "POOL_CLOSED", "--to", endless]);
    expect(sent).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/answered with more than 10 MiB\.\n$/),
    });

    const { process, url } = await listening(["--forward", endless, "--save", path("kept")]);
    expect((await post(url, { headers: {}, body: "{}" })).status).toBe(502);
    expect((await process.interrupt()).stdout).toContain("answered with more than 10 MiB. Answered 502.");
    const replayed = await run(["replay", path("kept"), "--to", endless]);
    expect(replayed).toMatchObject({ code: 1, stderr: sent.stderr });
  });

  test("that does not end in time is a failure, although it has begun", async () => {
    const slow = await serve((_, response) => {
      response.write("{");
    });
    const sent = await run(["send", "POOL_CLOSED", "--to", slow, "--timeout", "0.5"]);
    expect(sent).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("did not answer in time (--timeout)."),
    });
  });
});

test("listen saves a delivery before the app answers, so that a crash of the app loses nothing", async () => {
  let saved: readonly string[] = [];
  mkdirSync(path("kept"));
  const app = await serve(async (_, response) => {
    saved = await readdir(path("kept"));
    response.end();
  });
  const { url } = await listening(["--save", path("kept"), "--forward", app]);
  await post(url, { headers: {}, body: "{}" });
  expect(saved).toHaveLength(1);
});

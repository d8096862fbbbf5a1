import { readdirSync } from "node:fs";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { PROLIFIC_SECRET, SECRETS, TOLOKA_SECRET, useCli, vector } from "./cli-fixture.js";

const { listening, path, run } = useCli();

describe("verify", () => {
  const NOW = Date.now();
  const body = `{"events": [${JSON.stringify(tolokaEvent("POOL_CLOSED", { pool_id: "Zürich" }))}]}`;
  const tolokaHeader = (options: { secret?: string; body?: string; timestamp?: number } = {}) => {
    const signed = signToloka({ secret: TOLOKA_SECRET, body, timestamp: NOW, ...options });
    return `Toloka-Signature: ${signed.headers["toloka-signature"]}`;
  };
  const ofProlific = signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") });
  const prolificHeaders = Object.entries(ofProlific.headers).flatMap(([name, value]) => [
    "--header",
    `${name}: ${value}`,
  ]);

  const verify = (
    args: readonly string[],
    input: string | Uint8Array,
    env: Record<string, string> = SECRETS,
  ) => run(["verify", "--body", "-", ...args], { input, env });

  test.for([
    ["toloka", "documentation-example"],
    ["toloka", "short-signature-60-digits"],
    ["prolific", "non-ascii"],
  ] as const)("accepts the genuine vector %s %s", async ([provider, name]) => {
    const { secret, body, header, headers = { "Toloka-Signature": header } } = vector(provider, name);
    const given = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
    const { code, stdout } = await verify(given, body, { [`${provider.toUpperCase()}_SECRET`]: secret });
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("✓ The signature fits."),
    });
    // The vector is old.
    expect(stdout).toContain("A receiver would refuse it now");
  });

  const mistakes: readonly (readonly [
    mistake: string,
    args: string[],
    input: string,
    env?: Record<string, string>,
  ])[] = [
    ["header-missing", [], body],
    ["header-missing", ["--provider", "prolific", ...prolificHeaders.slice(0, -2)], ofProlific.body],
    ["header-cut-off", ["--header", tolokaHeader().slice(0, -20)], body],
    ["header-cut-off", ["--header", tolokaHeader().replace(/.{10}\}$/, "}")], body],
    ["header-cut-off", ["--header", `${tolokaHeader().replace(": ", ': "')}"`], body],
    ["wrong-provider", ["--provider", "toloka", ...prolificHeaders], ofProlific.body],
    ["wrong-provider", ["--provider", "prolific", "--header", tolokaHeader()], body],
    ["time-unit", ["--header", tolokaHeader({ timestamp: Math.floor(NOW / 1000) })], body],
    ["secret-white-space", ["--header", tolokaHeader()], body, { TOLOKA_SECRET: `${TOLOKA_SECRET}\n` }],
    ["secret-white-space", ["--header", tolokaHeader({ secret: ` ${TOLOKA_SECRET}` })], body],
    ["secret-quotes", ["--header", tolokaHeader()], body, { TOLOKA_SECRET: `"${TOLOKA_SECRET}"` }],
    ["secret-other", ["--header", tolokaHeader({ secret: PROLIFIC_SECRET })], body],
    ["body-line-break-added", ["--header", tolokaHeader()], `${body}\n`],
    ["body-line-break-added", prolificHeaders, `${ofProlific.body}\r\n`],
    ["body-end-lost", ["--header", tolokaHeader({ body: `${body}\n` })], body],
    ["body-white-space", ["--header", tolokaHeader()], `\ufeff${body}`],
    [
      "body-line-ends",
      ["--header", tolokaHeader({ body: body.replace(": ", ":\r\n") })],
      body.replace(": ", ":\n"),
    ],
    ["body-serialized-again", ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)) })], body],
    [
      "body-serialized-again",
      ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)).replace("ü", "\\u00fc") })],
      body,
    ],
    [
      "body-serialized-again",
      ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)) })],
      JSON.stringify(JSON.parse(body), undefined, 2),
    ],
  ];

  test.for(mistakes)("finds only %s", async ([mistake, args, input, env]) => {
    const { code, stdout } = await verify([...args, "--json"], input, env);
    expect(code).toBe(1);
    const { mistakes } = JSON.parse(stdout) as { mistakes: { name: string; found?: boolean }[] };
    const found = mistakes.filter(({ found }) => found).map(({ name }) => name);
    expect(found).toEqual([mistake]);
  });

  test("says of each mistake whether it was found", async () => {
    const found = await verify(["--header", tolokaHeader()], `${body}\n`);
    expect(found.stdout).toMatch(/^found {8}a line break was added to the end of the body after signing\. /m);
    expect(found.stdout).toMatch(/^not found {4}a delivery was signed with the secret and white space/m);
    const changed = await verify(["--header", tolokaHeader()], body.replace("pool", "p00l"));
    expect(changed).toMatchObject({ code: 1, stdout: expect.stringContaining("None of these.") });
    const cut = await verify(["--header", tolokaHeader().slice(0, -1)], body);
    expect(cut.stdout).toMatch(/^not checked {2}a delivery was signed with the secret in quotes/m);
  });

  test("fails for age only with --tolerance", async () => {
    const args = ["--header", tolokaHeader({ timestamp: NOW - 3_600_000 })];
    expect((await verify(args, body)).code).toBe(0);
    expect(await verify([...args, "--tolerance", "300"], body)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("TIMESTAMP_OUT_OF_TOLERANCE"),
    });
  });

  test("takes a stored delivery and its age when it was received", async () => {
    const { process, url } = await listening(["--save", "."]);
    await run(["send", "POOL_CLOSED", "--to", url]);
    await process.interrupt();
    const [file = ""] = readdirSync(path());
    const good = await run(["verify", file]);
    expect(good).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/signed [\d.]+ s before it was received/),
    });
    expect((await run(["verify", file], { env: { TOLOKA_SECRET: "other" } })).code).toBe(1);
    expect((await run(["verify", file, "--body", "x"])).code).toBe(2);
  });
});

import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { linesOf, PROLIFIC_SECRET, post, SECRETS, TOLOKA_SECRET, useCli } from "./cli-fixture.js";
import { expectHarmless } from "./hostile-texts.js";

const { listening, path, run, serve } = useCli();

const signed = (body: string) => signToloka({ secret: TOLOKA_SECRET, body });
const event = (fields: Record<string, unknown> = {}) =>
  signed(JSON.stringify({ events: [tolokaEvent("POOL_CLOSED", fields)] }));
const study = () => signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") });

/** Returns what `listen` shows of these deliveries. */
async function shown(args: readonly string[], ...deliveries: Parameters<typeof post>[1][]) {
  const { process, url } = await listening(args);
  for (const delivery of deliveries) await post(url, delivery);
  const { code, stdout, stderr } = await process.interrupt();
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

describe("listen shows a payload", () => {
  test("a value on each line, and as it was written", async () => {
    const body = '{"events": [], "n":12345678901234567890.10,"n":{ },"s":"a\\"}\\\\","x":[1,null,[[]]]}';
    expect(await shown([], signed(body))).toContain(
      [
        "    {",
        '      "events": [],',
        '      "n": 12345678901234567890.10,',
        '      "n": {},',
        '      "s": "a\\"}\\\\",',
        '      "x": [',
        "        1,",
        "        null,",
        "        [",
        "          []",
        "        ]",
        "      ]",
        "    }",
        "",
      ].join("\n"),
    );
  });

  test("that is no JSON as its lines, and bytes as their number", async () => {
    const stdout = await shown(
      [],
      signed("one\r\n two\n\n"),
      { headers: {}, body: new Uint8Array([255, 0]) },
      { headers: {}, body: "" },
    );
    expect(stdout).toContain("\n    one\n     two\n  →");
    expect(stdout).toContain("\n    (2 bytes that are no text)\n");
  });

  test("cut after 20 lines of 200 characters, unless there is --full", async () => {
    const body = JSON.stringify({
      events: [],
      long: "x".repeat(5_000),
      list: Array(30).fill(0),
      last: "end",
    });
    const cut = await shown([], signed(body));
    const [, payload = ""] = cut.split("    {\n");
    expect(payload.split("\n").indexOf("    … (--full shows all)")).toBe(19);
    expect(cut).not.toContain('"last"');
    expect(cut).toMatch(/\n {6}"long": "x{189}… \(--full shows all\)\n/);
    const full = await shown(["--full"], signed(body));
    expect(full).toContain('"last": "end"');
    expect(full).toContain(`"long": "${"x".repeat(5_000)}",`);
    expect(full).not.toContain("…");
  });

  test.for([
    ["nested 100,000 deep", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["of a string of a megabyte", JSON.stringify('\\"'.repeat(300_000))],
    ["of control characters", JSON.stringify({ "\u202e": "\u2028\u001b" }).replace("\\u001b", "\u009b")],
    ["of text with control characters", "\u001b[2J\r\u0085✓ Toloka, genuine"],
  ] as const)("without harm if it is one %s", async ([, body]) => {
    for (const full of [[], ["--full"], ["--full", "--json"]]) {
      const stdout = await shown(full, signed(body));
      expectHarmless(stdout);
      // Indentation of every level would be gigabytes.
      expect(stdout.length).toBeLessThan(20_000_000);
    }
  });

  test("in the line of --json: up to 10,000 bytes, or all with --full", async () => {
    const small = event({ pool_id: "Zürich" });
    const large = event({ pool_id: "x".repeat(10_000) });
    const bytes = { headers: {}, body: new Uint8Array([255]) };
    const [, ...lines] = linesOf({ stdout: await shown(["--json"], small, large, bytes) });
    expect(lines[0]).toMatchObject({ encoding: "utf-8", body: small.body });
    expect(lines[1]).not.toHaveProperty("body");
    expect(lines[2]).toMatchObject({ encoding: "base64", body: "/w==" });
    const [, full] = linesOf({ stdout: await shown(["--json", "--full"], large) });
    expect(full).toMatchObject({ body: large.body });
  });
});

describe("listen shows only deliveries", () => {
  test("with an event of a type of --event", async () => {
    const args = ["--event", "POOL_CLOSED", "--event", "TEST_EVENT"];
    const both = signed(
      JSON.stringify({ events: [tolokaEvent("ASSIGNMENT_CREATED"), tolokaEvent("TEST_EVENT")] }),
    );
    const other = signed(JSON.stringify({ events: [tolokaEvent("ASSIGNMENT_CREATED")] }));
    const stdout = await shown(args, event(), both, other, study(), signed("{}"));
    expect(stdout.match(/ POST /g)).toHaveLength(2);
    expect(stdout).toContain("Showing only deliveries with POOL_CLOSED or TEST_EVENT");
    expect(stdout).toContain("5 received, 2 shown: genuine × 4, ENVELOPE_INVALID × 1");
    const lines = linesOf({ stdout: await shown([...args, "--json"], event(), other) });
    expect(lines).toHaveLength(3);
    expect(lines.at(-1)).toMatchObject({ deliveries: 2, shown: 1 });
  });

  test("with an answer of --status, and of both if there are both", async () => {
    const forged = signToloka({ secret: "guessed", events: [tolokaEvent("POOL_CLOSED")] });
    const all = [event(), study(), forged, signed("[")] as const;
    const count = async (...args: string[]) => (await shown(args, ...all)).match(/ POST /g)?.length ?? 0;
    expect(await count("--status", "401")).toBe(1);
    expect(await count("--status", "4xx")).toBe(2);
    expect(await count("--status", "400", "--status", "2XX")).toBe(3);
    expect(await count("--status", "500")).toBe(0);
    expect(await count("--status", "2xx", "--event", "POOL_CLOSED")).toBe(1);
  });

  test("with the app's status when it forwards", async () => {
    const app = await serve((_request, response) => response.writeHead(503).end());
    const stdout = await shown(["--forward", app, "--status", "5xx"], event());
    expect(stdout).toContain("answered 503");
  });

  test("but saves and answers the others, and says that a type is not known", async () => {
    const { process, url } = await listening(["--save", "kept", "--event", "pool_closed"]);
    expect((await post(url, event())).status).toBe(200);
    const { stdout, stderr } = await process.interrupt();
    expect(stdout).toContain("1 received, 0 shown: genuine × 1");
    expect(stderr).toBe(
      '--event: this release knows no event type "pool_closed". Did you mean POOL_CLOSED?\n',
    );
    expect(readdirSync(path("kept"))).toHaveLength(1);
    expect(await shown(["--save", "kept"])).toContain("1 delivery in kept was not shown yet:");
  });

  test.for(["40", "600", "4x", "4xxx", "", "0xx"])("refuses --status %s", async (status) => {
    expect(await run(["listen", "--status", status])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("It must be a status such as 401"),
    });
  });
});

describe("listen --save, started again,", () => {
  /** Makes the file one that arrived while nobody looked. */
  const arrive = (name: string) => utimesSync(path(`kept/${name}`), new Date(), 1_700_000_000.123);

  async function kept() {
    const forged = signToloka({ secret: "guessed", events: [tolokaEvent("TEST_EVENT")] });
    expect(await shown(["--save", "kept"], event(), study(), forged)).not.toContain("not shown yet");
    return readdirSync(path("kept"));
  }

  test("lists what was saved and not shown, once", async () => {
    const [first = "", second = "", third = ""] = await kept();
    expect(await shown(["--save", "kept"])).not.toContain("not shown yet");
    for (const name of [first, third]) arrive(name);
    writeFileSync(path("kept/other.json"), "{}");
    const stdout = await shown(["--save", "kept"]);
    expect(stdout).toContain("2 deliveries in kept were not shown yet:\n");
    expect(stdout).toMatch(/\n {2}[\d-]{10} [\d:]{8} ✓ Toloka, genuine {2}POOL_CLOSED\n/);
    expect(stdout).toMatch(/✗ Toloka, SIGNATURE_MISMATCH {2}TEST_EVENT\n/);
    expect(stdout).toContain("0 received.");
    expect(await shown(["--save", "kept"])).not.toContain("not shown yet");
    arrive(second);
    const [, line, end] = linesOf({ stdout: await shown(["--save", "kept", "--json"]) });
    expect(line).toMatchObject({
      earlier: true,
      provider: "prolific",
      file: `kept/${second}`,
      verified: true,
    });
    expect(end).toEqual({ deliveries: 0, verdicts: {} });
  });

  test("lists the latest 20, and only those of --event", async () => {
    const [first = "", second = ""] = await kept();
    for (let i = 0; i < 25; i++)
      writeFileSync(path(`kept/later-${i}.json`), readFileSync(path(`kept/${first}`)));
    arrive(second);
    const study = await shown(["--save", "kept", "--event", "study.status.change"]);
    expect(study).toContain("1 delivery in kept was not shown yet:");
    const stdout = await shown(["--save", "kept"]);
    expect(stdout).toContain("25 deliveries in kept were not shown yet:\n  … 5 older\n");
    expect(stdout.match(/✓ Toloka, genuine/g)).toHaveLength(20);
  });

  test("leaves the content of the files as it was", async () => {
    const names = await kept();
    const contents = () => names.map((name) => readFileSync(path(`kept/${name}`), "utf8"));
    const before = contents();
    for (const name of names) arrive(name);
    expect(await shown(["--save", "kept"])).toContain("3 deliveries in kept");
    expect(readdirSync(path("kept"))).toEqual(names);
    expect(contents()).toEqual(before);
    const url = await serve((_request, response) => response.end());
    expect((await run(["replay", "kept", "--to", url], { env: SECRETS })).code).toBe(0);
  });
});

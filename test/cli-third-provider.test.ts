import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { jsonOf, linesOf, SECRETS, useCli } from "./cli-fixture.js";

const { listening, path, run } = useCli();
const env = {
  ...SECRETS,
  ACME_SECRET: "acme-s3cret",
  NODE_OPTIONS: `--import ${new URL("cli-third-provider.mjs", import.meta.url)}`,
};

describe("a third provider in SENDERS", () => {
  test("is in the help", async () => {
    const { stdout } = await run(["send", "--help"], { env });
    expect(stdout).toMatch(/\(choices: "toloka",[^)]*"acme"\)/);
    expect(stdout.replace(/\s+/g, " ")).toMatch(/TOLOKA_SECRET, [^.]* and ACME_SECRET/);
    expect(stdout).toContain("  Acme:\n    task.done, task.lost\n");
  });

  test("is completed", async () => {
    const { stdout } = await run(["complete", "--", "send", "task."], { env });
    expect(stdout).toBe("task.done \ntask.lost \n");
  });

  test("can be sent, received and sent again", async () => {
    const { process, url } = await listening(["--save", "kept", "--json"], { env });
    const sent = await run(["send", "task.done", "--to", url, "--batch", "2", "--json"], { env });
    expect(sent).toMatchObject({ code: 0, stderr: "" });
    expect(jsonOf(sent).outcomes).toMatchObject({ handled: 2 });
    const resigned = await run(["replay", "kept", "--to", url, "--resign", "--json"], { env });
    expect(jsonOf(resigned)).toMatchObject({ statuses: { 200: 1 }, outcomes: { duplicate: 2 } });
    const [, delivery] = linesOf(await process.interrupt());
    expect(delivery).toMatchObject({ provider: "acme", verified: true, path: "/acme-webhook" });
    expect(delivery.events).toMatchObject([{ type: "task.done" }, { type: "task.done" }]);
  });

  test("can be verified, and mistakes are found", async () => {
    const { process, url } = await listening(["--save", "kept"], { env });
    await run(["send", "task.lost", "--to", url], { env });
    await process.interrupt();
    const [file = ""] = readdirSync(path("kept"));
    const verify = (secret: string) =>
      run(["verify", `kept/${file}`, "--json"], { env: { ...env, ACME_SECRET: secret } });
    expect(jsonOf(await verify("acme-s3cret"))).toMatchObject({ provider: "acme", ok: true, secret: 1 });
    const { mistakes } = jsonOf(await verify('"acme-s3cret"'));
    expect(mistakes.filter(({ found }: { found?: boolean }) => found)).toMatchObject([
      {
        name: "secret-quotes",
        mistake: "a delivery was signed with the secret without the quotes around it",
      },
    ]);
  });
});

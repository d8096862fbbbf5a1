import { CONTRACT_FORMATS, contractOf } from "@crowdhook/core/contracts";
import { SENDERS } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { SECRETS, useCli } from "./cli-fixture.js";

const { run } = useCli();

describe("crowdhook schema", () => {
  test.each(
    SENDERS.flatMap(({ provider }) => CONTRACT_FORMATS.map((format) => [provider.name, format] as const)),
  )("prints the contract of %s as %s, without a secret", async (name, format) => {
    const provider = SENDERS.map((sender) => sender.provider).find((each) => each.name === name);
    const printed = await run(["schema", "--provider", name, "--format", format], { env: {} });
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(printed.stdout)).toEqual(contractOf(provider as never, format));
  });

  test("takes every format of contractOf, and JSON Schema by default", async () => {
    const { stdout } = await run(["schema", "--help"]);
    const choices = CONTRACT_FORMATS.map((format) => `"${format}"`).join(", ");
    expect(stdout.replace(/\s+/g, " ")).toContain(`(choices: ${choices}, default: "json-schema")`);
  });

  test.each([
    [["schema"], "required option '--provider <name>' not specified"],
    [["schema", "--provider", "nobody"], SENDERS.map(({ provider }) => provider.name).join(", ")],
    [["schema", "--provider", "toloka", "--format", "yaml"], CONTRACT_FORMATS.join(", ")],
  ])("refuses %j, names the choices and ends with 2", async (args, message) => {
    expect(await run(args)).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(message) });
  });

  test("says why a provider has no contract, and ends with 1", async () => {
    const env = {
      ...SECRETS,
      NODE_OPTIONS: `--import ${new URL("cli-third-provider.mjs", import.meta.url)}`,
    };
    expect(await run(["schema", "--provider", "acme"], { env })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: "error: contractOf takes a provider that defineProvider made, unlike acme.\n",
    });
  });
});

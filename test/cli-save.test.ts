import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { post, SECRETS, TOLOKA_SECRET, useCli } from "./cli-fixture.js";
import { BIN, start } from "./cli-process.js";

const { path, run, track } = useCli();
const isLinux = process.platform === "linux";

describe("listen --save ends at once with the folder and the cause", () => {
  test.runIf(isLinux).for([
    ["a folder that the file system does not allow", "/proc/x", "ENOENT"],
    ["a folder below one", "/proc/x/y/z", "ENOENT"],
    ["a folder that takes no files", "/sys/kernel", /EACCES|EPERM|EROFS/],
  ] as const)("for %s", async ([, folder, code]) => {
    const ended = await run(["listen", "--port", "0", "--save", folder]);
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toMatch(`error: Deliveries cannot be saved in ${folder}: `);
    expect(ended.stderr).toMatch(code);
    expect(ended.stderr).toMatch(/Choose another folder with --save\.\n$/);
  });

  test("for a file in its place, and for a folder below a file", async () => {
    writeFileSync(path("file"), "");
    expect(await run(["listen", "--port", "0", "--save", path("file")])).toMatchObject({
      code: 2,
      stderr: `error: Deliveries cannot be saved in ${path("file")}: a file of this name is in the way (EEXIST). Choose another folder with --save.\n`,
    });
    expect(await run(["listen", "--port", "0", "--save", path("file/below")])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("a file of this name is in the way"),
    });
  });
});

test.runIf(isLinux)("a disk that is full costs no answer, and leaves no part of a file", async () => {
  // The limit on the size of a file stands for the disk: a write fails in the middle of it.
  const script = `trap '' XFSZ; ulimit -f 4; exec "$0" "$@"`;
  const args = ["-c", script, process.execPath, BIN, "listen", "--port", "0", "--save", path("saved/deep")];
  const listener = track(start("bash", args, { env: SECRETS, cwd: path() }));
  const [, url = ""] = await listener.printed(/(http:\/\/[\d.]+:\d+)/);
  const delivery = (uuid: string, note: string) =>
    signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED", { uuid, note })] });
  expect((await post(url, delivery("1", ""))).status).toBe(200);
  expect((await post(url, delivery("2", "x".repeat(10_000)))).status).toBe(200);
  expect((await post(url, delivery("3", ""))).status).toBe(200);
  await listener.printed(/not saved in .*: the file would be larger than allowed \(EFBIG\)/);
  const { stdout } = await listener.interrupt();
  expect(stdout).toContain("3 received: genuine × 3");
  const files = readdirSync(path("saved/deep"));
  expect(files).toHaveLength(2);
  for (const file of files)
    expect(JSON.parse(readFileSync(path(`saved/deep/${file}`), "utf8")).version).toBe(1);
});

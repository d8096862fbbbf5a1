import { spawnSync } from "node:child_process";
import type { ReceivedEvent } from "@crowdhook/core";
import { afterEach, describe, expect, test } from "vitest";
import { API_KEY, jsonOf, useCli } from "./cli-fixture.js";
import { BIN, start } from "./cli-process.js";
import {
  factsAt,
  factsOf,
  happenAtProlific,
  happenAtToloka,
  MINUTE_MS,
  SECRET,
  startReceiver,
  subscribePool,
} from "./recovery-platforms.js";
import { PROLIFIC_URL, TOLOKA_URL, WORKSPACE } from "./subscriptions-clients.js";
import { startProlificApi } from "./subscriptions-prolific-api.js";
import { startTolokaApi } from "./subscriptions-toloka-api.js";

const { run, track, unused } = useCli();
const noScript =
  spawnSync("script", ["--version"]).status === 0 ? undefined : "SKIPPED: there is no script(1).";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Starts Toloka with events that no delivery brought, and the app's receiver. */
async function setUp() {
  const api = await startTolokaApi(`ApiKey ${API_KEY}`);
  closing.push(api.close);
  subscribePool(api, "7");
  await happenAtToloka(api, "7", 60, undefined);
  // The command has this machine's clock, which is behind the platform's.
  for (const assignment of api.assignments) {
    for (const field of ["created", "submitted", "rejected", "accepted"]) {
      assignment[field] = new Date(Date.parse(`${assignment[field]}Z`) - 30 * MINUTE_MS)
        .toISOString()
        .slice(0, -1);
    }
  }
  const handled: ReceivedEvent[] = [];
  const { url, webhook, close } = await startReceiver("toloka", handled);
  closing.push(close);
  const env = { TOLOKA_API_KEY: API_KEY, TOLOKA_SECRET: SECRET };
  const command = `subscriptions recover --provider toloka --base-url ${api.baseUrl} --subscribed-url ${TOLOKA_URL}`;
  const recover = (...args: string[]) => run([...command.split(" "), ...args], { env });
  /** Runs the command in a terminal of so many columns. Returns all that it writes there. */
  async function recoverIn(columns: number, args: string, term = "xterm") {
    const line = `stty cols ${columns}; ${process.execPath} ${BIN} ${command} ${args}`;
    const options = { env: { ...env, TERM: term, SHELL: "/bin/sh" } };
    return (await track(start("script", ["-qec", line, "/dev/null"], options)).ended).stdout;
  }
  return { api, handled, url, webhook, recover, recoverIn };
}

describe("subscriptions recover", () => {
  test("sends the lost events to the app, which takes each one once", { timeout: 60_000 }, async () => {
    const { api, handled, url, recover } = await setUp();
    const dry = await recover("--url", url, "--dry-run", "--since", "2h");
    expect(dry).toMatchObject({ code: 0, stderr: "" });
    expect(dry.stdout).toMatch(/^Toloka, .*: \d+ found, dry run, nothing was done\n\+ /);
    expect(handled).toEqual([]);

    const first = await recover("--url", url, "--since", "2h");
    expect(first).toMatchObject({ code: 0, stderr: expect.stringMatching(/^\d+ events sent$/m) });
    expect(first.stdout).toMatch(
      / found, \d+ handled\n! Events that the receiver handled before it was recoverable run again\.\n$/,
    );
    expect(factsOf(handled)).toEqual(factsAt(api));
    const again = jsonOf(await recover("--url", url, "--json")) as Record<string, unknown>;
    expect(again).toMatchObject({ status: "finished", handled: 0, duplicate: again.found });
  });

  test("ends with 1 if an event failed, and says what the endpoint answered", async () => {
    const { url, webhook, recover } = await setUp();
    webhook.onAny(() => {
      throw new Error("the database is down");
    });
    const failed = await recover("--url", url);
    expect(failed).toMatchObject({ code: 1, stdout: expect.stringMatching(/ found, \d+ failed\n/) });
    const stranger = await recover("--url", url, "--secret", "another-secret");
    expect(stranger).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/answered 401 SIGNATURE_MISMATCH\. The rest was not sent\./),
    });
    expect(await recover("--url", await unused())).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Nothing listens at"),
    });
  });

  test.skipIf(noScript).each([
    [80, "-".repeat(40)],
    [40, "-".repeat(17)],
    [20, ""],
  ])(
    `${noScript ?? ""} shows a bar and its numbers in a terminal of %i columns`,
    async (columns, empty) => {
      const { api, url, recoverIn } = await setUp();
      const total = factsAt(api).length;
      const shown = await recoverIn(columns, `--url ${url} --since 2h`);
      const drawn = shown.split("\u001b").map((part) => part.replace(/^\[\d[GK]/, ""));
      expect(drawn).toContain(`${empty ? `${empty} ` : ""}  0/${total}`);
      expect(drawn).toContain(`${empty ? `${"=".repeat(empty.length)} ` : ""}${total}/${total}, 0 s to go`);
      for (const line of drawn.filter((line) => line.includes(`/${total}`))) {
        expect(line.length).toBeLessThan(Math.max(columns, `${total}/${total}, 9 s to go`.length + 1));
      }
      expect(shown).toMatch(new RegExp(`${total} found, ${total} handled\r\n`));
    },
    30_000,
  );

  test.skipIf(noScript)(
    `${noScript ?? ""} shows no bar in a dumb terminal, in a dry run, with --json or without events`,
    { timeout: 60_000 },
    async () => {
      const { api, url, recoverIn } = await setUp();
      for (const [args, term] of [["", "dumb"], ["--dry-run"], ["--json"]] as [string, string?][]) {
        expect(await recoverIn(80, `--url ${url} --since 2h ${args}`, term)).not.toContain("\u001b");
      }
      api.assignments.length = 0;
      expect(await recoverIn(80, `--url ${url} --since 2h`)).not.toContain("\u001b");
    },
  );

  test("needs subscriptions for the URL, and a time that it can read", async () => {
    const { url, recover } = await setUp();
    const other = await recover("--url", url, "--subscribed-url", "https://example.com/other");
    expect(other).toMatchObject({
      code: 1,
      stderr:
        "error: No subscription at Toloka delivers to https://example.com/other. Pass --subscribed-url with the URL of the subscriptions.\n",
    });
    for (const since of ["2", "2 hours", "yesterday", "2026-11-28T10:00:00"]) {
      expect(await recover("--url", url, "--since", since)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(
          "It must be a span such as 30m, 2h or 3d, or ISO 8601 with an offset.",
        ),
      });
    }
    expect(await recover("--url", url, "--since", "8d")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("since is more than 7 days ago"),
    });
  });

  test("sends Prolific's events with their id and time", async () => {
    const api = await startProlificApi(WORKSPACE, `Token ${API_KEY}`);
    closing.push(api.close);
    const id = api.add({ event_type: "submission.status.change", target_url: PROLIFIC_URL });
    await happenAtProlific(api, id, 1, undefined);
    const [event] = api.events.get(id) ?? [];
    const datetime_created = new Date(Date.now() - 5 * 60_000).toISOString();
    Object.assign(event ?? {}, { datetime_created });
    const handled: ReceivedEvent[] = [];
    const { url, close } = await startReceiver("prolific", handled, { clock: Date.now });
    closing.push(close);
    const ended = await run(
      [
        "subscriptions",
        "recover",
        "--provider",
        "prolific",
        "--base-url",
        api.baseUrl,
        "--subscribed-url",
        PROLIFIC_URL,
        "--url",
        url,
      ],
      { env: { PROLIFIC_TOKEN: API_KEY, PROLIFIC_WORKSPACE_ID: WORKSPACE, PROLIFIC_SECRET: SECRET } },
    );
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/1 found, 1 handled/) });
    expect(handled).toMatchObject([
      {
        id: event?.id,
        occurredAt: new Date(Math.floor(Date.parse(datetime_created) / 1000) * 1000),
        data: event?.payload,
      },
    ]);
  });
});

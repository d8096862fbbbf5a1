import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { API_KEY, jsonOf, TOLOKA_SECRET, useCli } from "./cli-fixture.js";

const { run, serve } = useCli();

describe("subscriptions", () => {
  /** Starts the part of Toloka's REST API that these tests need. */
  async function account() {
    const subscriptions = new Map<string, { id: string }>();
    const calls: string[] = [];
    const url = await serve(async (request, response) => {
      const { method, headers } = request;
      calls.push(`${method} ${headers.authorization}`);
      const id = request.url?.split("/")[2] ?? "";
      const answer = (status: number, body?: unknown) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(body === undefined ? "" : JSON.stringify(body));
      };
      if (method === "GET") return answer(200, { items: [...subscriptions.values()], has_more: false });
      if (method === "DELETE") return subscriptions.delete(id) ? answer(204) : answer(404, {});
      if (method === "POST") return answer(200, { success: id === "s1", errorType: "WRONG_STATUS_CODE" });
      const forms = JSON.parse(await text(request)) as { secret_key?: string }[];
      const made = forms.map(({ secret_key, ...form }) => {
        calls.push(`secret ${secret_key}`);
        const subscription = { id: `s${subscriptions.size + 1}`, created: "2026-01-01T00:00:00", ...form };
        subscriptions.set(subscription.id, subscription);
        return subscription;
      });
      answer(200, { items: Object.fromEntries(made.entries()), validation_errors: {} });
    });
    const ask = (...args: string[]) =>
      run(["subscriptions", ...args, "--base-url", url], {
        env: { TOLOKA_API_KEY: API_KEY, TOLOKA_SECRET },
      });
    return { url, calls, ask };
  }

  test("creates, lists, tests, syncs and deletes", { timeout: 60_000 }, async () => {
    const { calls, ask } = await account();
    const target = ["--url", "https://example.com/hook", "--pool", "1"];
    expect(await ask("create", ...target, "--event", "POOL_CLOSED")).toMatchObject({
      code: 0,
      stdout: "✓ s1  POOL_CLOSED  pool 1  https://example.com/hook\n",
    });
    expect(calls).toEqual(["PUT ApiKey api-k3y", `secret ${TOLOKA_SECRET}`]);
    expect((await ask("list")).stdout).toBe("s1  POOL_CLOSED  pool 1  https://example.com/hook\n");
    expect(jsonOf(await ask("list", "--json"))).toMatchObject([{ id: "s1" }]);
    expect((await ask("test", "s1")).code).toBe(0);
    expect(await ask("test", "s2")).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("WRONG_STATUS_CODE"),
    });

    const wanted = [...target, "--event", "ASSIGNMENT_SUBMITTED"];
    expect(await ask("sync", ...wanted)).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
    const dry = jsonOf(await ask("sync", ...wanted, "--dry-run", "--json"));
    expect(dry).toMatchObject({ changed: false, create: [{}], keep: [], extra: [{ id: "s1" }] });
    expect((await ask("sync", ...wanted, "--yes")).code).toBe(0);
    expect(jsonOf(await ask("list", "--json"))).toHaveLength(2);
    expect(jsonOf(await ask("sync", ...wanted, "--yes", "--delete-extra", "--json")).changed).toBe(true);
    expect(jsonOf(await ask("list", "--json"))).toMatchObject([{ event_type: "ASSIGNMENT_SUBMITTED" }]);
    expect((await ask("delete", "s2", "--yes")).code).toBe(0);
    expect(await ask("delete", "s2", "--yes")).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("no such subscription"),
    });
  });

  test("deletes nothing without --yes when there is no terminal to ask at", async () => {
    const { calls, ask } = await account();
    expect(await ask("delete", "s1", "s2")).toMatchObject({
      code: 2,
      stderr: "error: There is no terminal to ask at. Pass --yes.\n",
    });
    expect(calls).toEqual([]);
  });

  test("says that nothing was changed only for a dry run", async () => {
    const { ask } = await account();
    const wanted = ["--url", "https://example.com/hook", "--pool", "1", "--event", "POOL_CLOSED"];
    expect((await ask("sync", ...wanted, "--dry-run")).stdout).toContain("; dry run, nothing changed\n");
    const { code, stdout } = await ask("sync", ...wanted, "--yes");
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout:
        "1 to create, 0 to keep, 0 extra (not deleted)\n+ https://example.com/hook POOL_CLOSED pool 1\n✓ Done.\n",
    });
  });

  test.for([
    ...["http://localhost:3000/hook", "https://127.0.0.1/hook", "http://[::1]/", "https://10.1.2.3/hook"],
    ...["https://192.168.0.1/", "https://172.31.255.255/", "http://[fd00::1]/", "https://app.internal/hook"],
    ...["http://0x7f000001/", "http://169.254.1.1/", "http://printer.local./", "http://app/hook"],
  ])("warns of the URL %s, which no provider can reach", async (url) => {
    const { ask } = await account();
    for (const command of [["create"], ["sync", "--dry-run"]]) {
      const { stderr } = await ask(...command, "--url", url, "--pool", "1", "--event", "POOL_CLOSED");
      expect(stderr).toMatch(/^warning: --url .* is not reachable from the internet/);
    }
  });

  test.for(["https://example.com/hook", "https://172.32.0.1/", "https://localhost.example.com/"])(
    "does not warn of the public URL %s",
    async (url) => {
      const { ask } = await account();
      const create = ["create", "--url", url, "--pool", "1", "--event", "POOL_CLOSED"];
      expect(await ask(...create)).toMatchObject({ code: 0, stderr: "" });
    },
  );

  test("refuses mistakes before it sends anything", async () => {
    const { calls, ask } = await account();
    const url = ["--url", "https://example.com/hook"];
    const wrong: readonly (readonly [message: string, args: string[]])[] = [
      ["pass --pool", ["create", ...url, "--event", "POOL_CLOSED"]],
      ["Did you mean POOL_CLOSED?", ["create", ...url, "--event", "POOL_CLOSE", "--pool", "1"]],
      ["PROLIFIC_WORKSPACE_ID", ["list", "--provider", "prolific"]],
      ["--pool is for Toloka.", ["create", ...url, "--event", "study.status.change", "--pool", "1"]],
      ["TOLOKA_OAUTH_TOKEN", ["list", "--provider", "toloka", "--yandex-tasks"]],
      ["--yandex-tasks is for Toloka.", ["list", "--provider", "prolific", "--yandex-tasks"]],
      ["--sandbox is for Toloka.", ["list", "--provider", "prolific", "--sandbox"]],
      [
        "Whose subscriptions?",
        ["create", ...url, "--event", "POOL_CLOSED", "--event", "study.status.change"],
      ],
    ];
    for (const [message, args] of wrong) {
      expect(await ask(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
    }
    expect(calls).toEqual([]);
  });
});

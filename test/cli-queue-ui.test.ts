import { randomUUID } from "node:crypto";
import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ListenerContext, type ReceivedEvent } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import type { DurableSink } from "@crowdhook/core/sink";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { browserMissing, picture, useBrowser } from "./browser.js";
import { useCli } from "./cli-fixture.js";
import { BIN, start } from "./cli-process.js";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const { run, track } = useCli();
const open = useBrowser();
const noPostgres = browserMissing() ?? postgresMissing();
const noRedis = browserMissing() ?? redisMissing();
for (const missing of new Set([noPostgres, noRedis])) if (missing) console.warn(missing);

const PATIENCE = { timeout: 60_000, interval: 50 };
const QUICK = { attempts: 2, backoff: 1, lease: 1 };
const NO_CONTEXT = { stale: false } as ListenerContext;

const event = (provider: string, type: string, id: string): ReceivedEvent => ({
  provider,
  type,
  id,
  occurredAt: new Date(),
  data: {},
});

/** Starts workers whose listeners fail until `repair` is called. `handled` has the ids that they handled. */
function workers(...sinks: readonly DurableSink[]) {
  let isBroken = true;
  const handled: string[] = [];
  for (const sink of sinks) {
    for (const provider of [toloka, prolific]) {
      const receiver = createReceiver(provider as typeof toloka, { unsigned: true });
      const listener = ({ id }: ReceivedEvent) => {
        if (isBroken && !id.startsWith("good")) throw new RangeError(`no database for ${id}`);
        handled.push(id);
      };
      receiver.onAny(listener);
      receiver.onUnrecognized(listener);
      sink.work(receiver);
    }
    onTestFinished(() => sink.close());
  }
  return {
    handled,
    repair: () => {
      isBroken = false;
    },
  };
}

/** Starts `queue ui`, and opens its page. Close it: a page whose server has ended reports an error. */
async function openUi(args: readonly string[], env: Record<string, string>): Promise<Page> {
  const command = track(start(process.execPath, [BIN, "queue", "ui", ...args], { env }));
  const [, url = ""] = await command.printed(/(http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]+)/);
  return open({ url });
}

const letters = (page: Page) => page.locator(".events li").allTextContents();
const failures = (sink: DurableSink, count: number) =>
  vi.waitFor(async () => expect(await sink.failed()).toHaveLength(count), PATIENCE);

describe.skipIf(noPostgres)("queue ui on PostgreSQL", () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await postgresServer();
  });
  afterAll(() => server?.close());

  test("lists failed events, filters them, replays one and all, and shows which keys are blocked", async () => {
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    const connect = (options: Partial<PgBossSinkOptions> = {}) =>
      pgBossSink({ connection: server.url, schema, ...QUICK, ...options });
    const sink = connect();
    const ordered = connect({ orderingKey: ({ type }) => type });
    const { handled, repair } = workers(sink, ordered);
    await sink.accept([event("toloka", "POOL_CLOSED", "a"), event("toloka", "POOL_CLOSED", "b")], NO_CONTEXT);
    await sink.accept([event("prolific", "study.status.change", "c")], NO_CONTEXT);
    await ordered.accept(
      [event("toloka", "POOL_OPENED", "first"), event("toloka", "POOL_OPENED", "good-later")],
      NO_CONTEXT,
    );
    await failures(sink, 3);
    await failures(ordered, 1);

    const page = await openUi(["--schema", schema], { DATABASE_URL: server.url });
    await expect.poll(() => letters(page), PATIENCE).toHaveLength(4);
    const first = (await letters(page)).find((text) => text.includes("toloka:a")) ?? "";
    expect(first).toContain("POOL_CLOSED");
    expect(first).toContain("2 attempts");
    expect(first).toContain("RangeError: no database for a");
    expect(await page.locator(".blocked li").allTextContents()).toEqual(["POOL_OPENED"]);
    await picture(page, "queue-light");

    await page.selectOption("[aria-label='Provider']", "prolific");
    await expect.poll(() => letters(page)).toEqual([expect.stringContaining("study.status.change")]);
    await page.selectOption("[aria-label='Provider']", "");
    await page.fill("[aria-label='Type']", "POOL_OPENED");
    await page.keyboard.press("Enter");
    await expect.poll(() => letters(page)).toEqual([expect.stringContaining("toloka:first")]);

    repair();
    expect(handled).toEqual([]);
    await page.click(".events li:has-text('toloka:first') button");
    await page.waitForSelector("[role=status]:has-text('1 event queued again')");
    await vi.waitFor(() => expect(handled).toEqual(["first", "good-later"]), PATIENCE);
    await page.click("text=Refresh");
    await page.waitForSelector("text=No ordering key is blocked");

    await page.fill("[aria-label='Type']", "");
    await page.keyboard.press("Enter");
    await expect.poll(() => letters(page)).toHaveLength(3);
    await page.click("text=Replay all");
    await page.click("text=Really replay 3 events?");
    await page.waitForSelector("[role=status]:has-text('3 events queued again')");
    await page.waitForSelector("text=No event has failed");
    await vi.waitFor(() => expect(handled.slice(2).sort()).toEqual(["a", "b", "c"]), PATIENCE);
    await page.close();
  });

  test("ends at once with the reason if the database does not answer", async () => {
    const env = { DATABASE_URL: "postgres://u:never-printed@127.0.0.1:1/db" };
    const ended = await run(["queue", "ui"], { env });
    expect(ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("ECONNREFUSED") });
    expect(ended.stderr).not.toMatch(/never-printed| at /);
  });
});

describe.skipIf(noRedis)("queue ui --redis", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await redisServer();
  });
  afterAll(() => server?.close());

  test("lists failed events, replays one and all", async () => {
    const queue = `test_${randomUUID().replaceAll("-", "")}`;
    const sink = bullmqSink({ connection: server.url, queue, ...QUICK });
    const { handled, repair } = workers(sink);
    await sink.accept(
      ["a", "b", "c"].map((id) => event("toloka", "POOL_CLOSED", id)),
      NO_CONTEXT,
    );
    await failures(sink, 3);
    const page = await openUi(["--redis", "--queue", queue], { REDIS_URL: server.url });
    await expect.poll(() => letters(page), PATIENCE).toHaveLength(3);
    expect(await letters(page)).toContainEqual(expect.stringContaining("RangeError: no database for a"));
    expect(await page.locator("text=Blocked keys").count()).toBe(0);
    await picture(page, "queue-redis-light");
    repair();
    await page.click(".events li:has-text('toloka:b') button");
    await page.waitForSelector("[role=status]:has-text('1 event queued again')");
    await expect.poll(() => letters(page)).toHaveLength(2);
    await page.click("text=Replay all");
    await page.click("text=Really replay 2 events?");
    await page.waitForSelector("text=No event has failed");
    await vi.waitFor(() => expect(handled.sort()).toEqual(["a", "b", "c"]), PATIENCE);
    await page.close();
  });

  test("names the variable that is missing", async () => {
    expect(await run(["queue", "ui", "--redis"], { env: {} })).toMatchObject({
      code: 2,
      stderr: "error: REDIS_URL is missing. Set it to the URL of Redis.\n",
    });
  });
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, memoryClaims } from "@crowdhook/core";
import { mount, type Webhook, type WebhookOptions } from "@crowdhook/core/adapter";
import type { DurableSink } from "@crowdhook/core/sink";
import { toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/fastify";
import { pgBossSink } from "@crowdhook/pg-boss";
import { redisClaims } from "@crowdhook/redis";
import fastify from "fastify";
import { describe, expect, test, vi } from "vitest";
import { ERRORS } from "../packages/core/src/errors.js";
import { docsAddress } from "../packages/core/src/observing/docs.js";
import { OTHER_LINES } from "../packages/core/src/observing/log.js";
import { anchorsOf } from "../site/anchors.js";

const text = readFileSync(new URL("../docs/reference/errors.md", import.meta.url), "utf8");
const sections = new Map(
  text.split(/^## /m).map((section) => [section.split("\n", 1)[0] ?? "", section] as const),
);

test("docs/reference/errors.md has a heading for every code, and for nothing else", () => {
  const headings = [...sections.keys()].filter((heading) => /^[A-Z_]+$/.test(heading));
  expect(headings.sort()).toEqual(Object.keys(ERRORS).sort());
});

test.each([...Object.keys(ERRORS), ...OTHER_LINES])("the address in a log line %s is a heading", (name) => {
  const [page, anchor = ""] = docsAddress("reference/errors", name.toLowerCase()).split("#");
  expect(page).toBe("docs/reference/errors.md");
  expect([...anchorsOf(text)]).toContain(anchor);
});

/** Everything that a receiver, an adapter or a sink may print. */
const sources = readdirSync(new URL("../packages/", import.meta.url)).flatMap((name) => {
  const folder = fileURLToPath(new URL(`../packages/${name}/src/`, import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  return files.map((file) => readFileSync(join(folder, file), "utf8"));
});

test.for(Object.keys(ERRORS))("docs/reference/errors.md quotes for %s log lines that exist", (code) => {
  const [, log = ""] = /^- \*\*Log:\*\* (.*)$/m.exec(sections.get(code) ?? "") ?? [];
  const spans = [...log.matchAll(/`([^`]*)`/g)].map(([, span = ""]) => span);
  const quotes = spans.filter((span) => span.includes(" "));
  if (!log.startsWith("Nothing.")) expect(quotes).not.toEqual([]);
  const parts = quotes.flatMap((quote) => quote.split("…")).filter((part) => part.trim().length > 3);
  expect(parts.filter((part) => !sources.some((source) => source.includes(part.trim())))).toEqual([]);
});

test.for(Object.entries(ERRORS))(
  "docs/reference/errors.md tells the status of %s, what it means, its log line, what to check and the fix",
  ([code, { status }]) => {
    const section = sections.get(code);
    expect(section).toMatch(new RegExp(`^- \\*\\*Status:\\*\\* ${status}\\b`, "m"));
    for (const part of ["Means", "Log", "Check", "Fix"]) expect(section).toContain(`\n- **${part}:** `);
  },
);

describe("docs/reference/errors.md quotes what a mistake at startup throws", () => {
  const secret = "12345";
  const receiver = createReceiver(toloka, { secret });
  const other = { ...receiver, provider: { ...toloka, name: "other" } };
  // As from JavaScript, where no type stands in the way.
  const made = (options: object) => () => createReceiver(toloka, { secret, ...options });
  const mounted = (options: object) => () => mount(toloka, secret, options as WebhookOptions<never>);
  const { claim, settle, release } = memoryClaims();
  const listening = receiver as unknown as Pick<Webhook<Record<string, unknown>>, "on">;
  const workWith = (options: object) => {
    const receiver = createReceiver(toloka, { secret });
    pgBossSink({ connection: "postgres://127.0.0.1:1/none" }).work(receiver, options);
  };
  const workTwice = async (sink: DurableSink) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    try {
      for (let times = 0; times < 2; times++) sink.work(receiver);
    } finally {
      await sink.close();
    }
  };
  const workAfterClose = async (sink: DurableSink) => {
    await sink.close();
    sink.work(receiver);
  };
  const mistakes: readonly (readonly [string, () => unknown])[] = [
    ["no secret", made({ secret: undefined })],
    ["an empty secret", made({ secret: "" })],
    ["a secret with a line break", made({ secret: "12345\n" })],
    ["a secret that is a number", made({ secret: 12345 })],
    ["no secret in the list", made({ secret: [] })],
    ["too many secrets in the list", made({ secret: Array.from({ length: 1_001 }, (_, i) => `${i}`) })],
    ["a secret and unsigned", made({ unsigned: true })],
    ["unsigned in words", made({ secret: undefined, unsigned: "false" })],
    ["claims that are none", made({ claims: {} })],
    ["a sink that is a function", made({ sink: () => {} })],
    ["detectStale with a store that cannot", made({ detectStale: true, claims: { claim, settle, release } })],
    ["recoverable with a store that cannot", made({ recoverable: true, claims: { claim, settle, release } })],
    ["a Redis client in place of a function", () => redisClaims({} as never)],
    ["a tolerance that is not a number", made({ tolerance: Number.NaN })],
    ["a maxBodySize in words", made({ maxBodySize: "5mb" })],
    ["a maxEvents in words", made({ maxEvents: "many" })],
    ["a maxInFlight without end", made({ maxInFlight: Number.POSITIVE_INFINITY })],
    ["a concurrency in words", made({ concurrency: "8" })],
    ["a timeout in milliseconds", made({ timeout: 20_000 })],
    ["an orderingKey that is a field", made({ orderingKey: "pool_id" })],
    ["an observe that is an object", made({ observe: {} })],
    ["an instrumentation that is a function", made({ instrumentation: () => {} })],
    ["a concurrency beside a sink", made({ concurrency: 8, sink: { accept() {} } })],
    ["an orderingKey beside a sink", made({ orderingKey: () => "", sink: { accept() {} } })],
    ["detectStale beside a sink", made({ detectStale: true, sink: { accept() {} } })],
    ["a clock that is a number", made({ clock: 0 })],
    ["a clock that is the constructor Date", made({ clock: Date })],
    ["a logger without methods", made({ logger: {} })],
    ["a misspelt option", made({ tolerence: 1 })],
    ["a misspelt option of a webhook", mounted({ pth: "/x" })],
    ["a secret in place of the options", () => createReceiver(toloka, secret as never)],
    ["no options", () => createReceiver(toloka, undefined as never)],
    ["a secret given twice", mounted({ secret })],
    ["the options in place of the secret", () => mount(toloka, { secret } as never)],
    ["a number for the memory of claims", () => memoryClaims(1000 as never)],
    ["the name of a provider", () => createReceiver("toloka" as never, { secret })],
    [
      "a provider whose replays cannot be caught",
      () => createReceiver({ ...toloka, signsEventIds: false } as never, { secret }),
    ],
    [
      "a plugin called with a secret",
      () => (tolokaWebhook as unknown as (secret: string) => unknown)(secret),
    ],
    ["a plugin that is not awaited", () => fastify().toloka.on("POOL_CLOSED", () => {})],
    [
      "a second webhook in one scope",
      () => fastify().register(tolokaWebhook, { secret }).register(tolokaWebhook, { secret }),
    ],
    ["a path without its slash", mounted({ path: "toloka-webhook" })],
    ["memory for no claims", () => memoryClaims({ max: 0 })],
    ["options beside a ready receiver", () => mount(toloka, receiver, { tolerance: 1 })],
    ["a secret beside a ready receiver", () => fastify().register(tolokaWebhook, { secret, receiver })],
    [
      "a webhook in place of its receiver",
      () =>
        mount(
          toloka,
          Object.assign(() => "", mount(toloka, secret).mounted),
        ),
    ],
    ["a receiver for another provider", () => mount(toloka, other)],
    ["a type that does not exist", () => listening.on("POOL_CLOSE", () => {})],
    ["neither a database nor a folder", () => pgBossSink({ connection: undefined })],
    ["a database and a folder", () => pgBossSink({ connection: "postgres://x", dataDir: "./data" })],
    ["a schema in quotes", () => pgBossSink({ dataDir: "./data", schema: '"Crowdhook"' })],
    ["a schema of PostgreSQL", () => pgBossSink({ dataDir: "./data", schema: "pg_x" })],
    ["a schema that is a word of SQL", () => pgBossSink({ dataDir: "./data", schema: "user" })],
    ["a lease of centuries", () => pgBossSink({ dataDir: "./data", lease: 1e10 })],
    ["an onFailed that is unknown", () => pgBossSink({ dataDir: "./data", onFailed: "drop" as never })],
    ["an orderingKey that is a name", () => pgBossSink({ dataDir: "./data", orderingKey: "id" as never })],
    ["transactional as text", () => workWith({ transactional: "yes" })],
    ["a transaction without time", () => workWith({ transactional: true, transactionTimeout: 0 })],
    ["a Redis that is none", () => bullmqSink({ connection: undefined as never })],
    ["a queue with a colon", () => bullmqSink({ connection: "redis://x", queue: "a:b" })],
    ["no attempts", () => bullmqSink({ connection: "redis://x", attempts: 0 })],
    ["a lease that is a fraction", () => pgBossSink({ dataDir: "./data", lease: 0.5 })],
    ["two workers for one provider", () => workTwice(bullmqSink({ connection: "redis://127.0.0.1:1" }))],
    ["work after close", () => workAfterClose(pgBossSink({ dataDir: "./data" }))],
    ["a listener that is none", () => listening.on("POOL_CLOSED", undefined as never)],
  ];
  const section = sections.get("At startup") ?? "";
  const quotes = [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, quote = ""]) => quote.split("…"));

  const rowsFor = async (make: () => unknown) => {
    let message = "";
    try {
      await make();
    } catch (error) {
      if (error instanceof TypeError) message = error.message;
    }
    return quotes.filter((parts) => message !== "" && parts.every((part) => message.includes(part)));
  };

  test("and nothing else", async () => {
    const thrown = await Promise.all(mistakes.map(([, make]) => rowsFor(make)));
    expect(quotes.filter((parts) => !thrown.flat().includes(parts))).toEqual([]);
  });

  test.for(mistakes)("%s", async ([, make]) => expect(await rowsFor(make)).toHaveLength(1));
});

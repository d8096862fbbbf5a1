import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { type AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Receiver } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { prolificEvent, signDelivery, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { senderNamed } from "./defined-providers.js";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const SECRET = "12345";
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const READMES = [
  "README.md",
  ...readdirSync(join(ROOT, "packages")).map((name) => `packages/${name}/README.md`),
];
const DOCS = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);

interface Block {
  readonly name: string;
  readonly file: string;
  readonly code: string;
}

const STANDARD_SECRET = "whsec_YSBrZXkgb2YgMjQgYnl0ZXMgb3Igc28h";

// Inside test/, so that the blocks find the packages that are installed for the tests.
const folder = mkdtempSync(join(ROOT, "test/.tmp-readme-"));
afterAll(() => rmSync(folder, { recursive: true }));

const blocks: readonly Block[] = [...READMES, ...DOCS].flatMap((document) => {
  const text = readFileSync(join(ROOT, document), "utf8");
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""], index) => {
    const name = `${document}, ts block ${index + 1}`;
    const file = join(folder, `${name.replace(/[^a-z0-9]+/gi, "-")}.ts`);
    writeFileSync(file, code);
    return { name, file, code };
  });
});

test.for(READMES)("%s has an example", (readme) => {
  expect(blocks.map(({ name }) => name)).toContain(`${readme}, ts block 1`);
});

test("the blocks type-check", async () => {
  const config = { extends: "../../tsconfig.base.json", include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const checked = await promisify(execFile)(process.execPath, [tsc, "-p", folder]).catch((error) => error);
  expect(checked.stdout).toBe("");
  expect(checked.code).toBeUndefined();
});

const noRedis = redisMissing();
if (noRedis) console.warn(noRedis);
const noPostgres = postgresMissing();
if (noPostgres) console.warn(noPostgres);

/** A Redis, and commands over HTTP to it in the manner of Upstash. */
async function startRedis() {
  const server: RedisServer = await redisServer();
  const redis = new Redis(server.url);
  const rest = http.createServer(async (request, response) => {
    const [command, ...args] = JSON.parse(await text(request)) as [string, ...string[]];
    const answer = await redis.call(command, ...args).then(
      (result) => ({ result }),
      (error: Error) => ({ error: error.message }),
    );
    response.end(JSON.stringify(answer));
  });
  await once(rest.listen(0, "127.0.0.1"), "listening");
  return {
    url: server.url,
    restUrl: `http://127.0.0.1:${(rest.address() as AddressInfo).port}`,
    async close() {
      redis.disconnect();
      rest.close();
      // The blocks' own clients are still connected, and would tell of it.
      vi.spyOn(console, "error").mockImplementation(() => {});
      await server.close();
    },
  };
}

describe("runs as it stands", () => {
  let redis: Awaited<ReturnType<typeof startRedis>> | undefined;
  beforeAll(async () => {
    if (!noRedis) redis = await startRedis();
  });
  afterAll(() => redis?.close());
  let postgres: PostgresServer | undefined;
  beforeAll(async () => {
    if (!noPostgres) postgres = await postgresServer();
  });
  afterAll(() => postgres?.close());

  // What a block names a folder is made here.
  const cwd = process.cwd();
  beforeAll(() => process.chdir(folder));
  afterAll(() => process.chdir(cwd));

  const onSignal = process.listeners("SIGTERM");
  const servers: Server[] = [];
  const { listen } = Server.prototype;
  const printed: unknown[][] = [];

  beforeEach(() => {
    vi.stubEnv("TOLOKA_SECRET", SECRET);
    vi.stubEnv("PROLIFIC_SECRET", SECRET);
    vi.stubEnv("CVAT_SECRET", SECRET);
    vi.stubEnv("ARGILLA_SECRET", STANDARD_SECRET);
    vi.stubEnv("REDIS_URL", redis?.url);
    vi.stubEnv("DATABASE_URL", postgres?.url);
    vi.stubEnv("REDIS_REST_URL", redis?.restUrl);
    vi.spyOn(console, "log").mockImplementation((...args) => void printed.push(args));
    // The blocks listen on a fixed port, as an app does; here every one of them gets a free one.
    vi.spyOn(Server.prototype, "listen").mockImplementation(function (this: Server, ...args: unknown[]) {
      // A lock, say: not for a network.
      if (typeof args[0] === "object" && args[0] !== null && "path" in args[0])
        return Reflect.apply(listen, this, args);
      servers.push(this);
      const callback = args.at(-1);
      return Reflect.apply(listen, this, [
        0,
        "127.0.0.1",
        ...(typeof callback === "function" ? [callback] : []),
      ]);
    });
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    printed.length = 0;
    for (const listener of process.listeners("SIGTERM")) {
      if (!onSignal.includes(listener)) process.off("SIGTERM", listener);
    }
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  const ofToloka = () => ({
    delivery: signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] }),
    heard: "pool-1",
  });
  const ofProlific = () => ({
    delivery: signProlific({ secret: SECRET, event: prolificEvent("submission.status.change") }),
    heard: "submission-1",
  });

  /** A sample of a provider in the list. The blocks print the id of what it is about. */
  const ofSender = (name: string, secret: string) => {
    const sender = senderNamed(name);
    const event = sender.sample(sender.defaultType);
    const { task, data } = event.content as { task?: { id: number }; data?: { id: string } };
    return { delivery: signDelivery(sender, { secret, events: [event] }), heard: task?.id ?? data?.id };
  };
  const sentTo = (path: string) => {
    if (path.includes("argilla")) return ofSender("standard-webhooks", STANDARD_SECRET);
    if (path.includes("cvat")) return ofSender("cvat", SECRET);
    return path.includes("prolific") ? ofProlific() : ofToloka();
  };

  test.for(blocks)("$name", async ({ file, code }, { skip }) => {
    if (noRedis && /@crowdhook\/(redis|bullmq)/.test(code)) skip(noRedis);
    if (noPostgres && /^[^/]*\bconnection: process\.env\.DATABASE_URL/m.test(code)) skip(noPostgres);
    // What it sends itself is refused, and told of.
    if (code.includes("@crowdhook/audit")) vi.spyOn(console, "error").mockImplementation(() => {});
    const exported: {
      POST?: (request: Request) => Promise<Response>;
      default?: { fetch(request: Request, env: object, context: object): Promise<Response> };
      receiver?: Receiver;
      sink?: DurableSink;
    } = await import(file);
    const [server] = servers;
    const worker = exported.default;
    // As Workers call it.
    const POST = worker
      ? (request: Request) => worker.fetch(request, { TOLOKA_SECRET: SECRET }, { waitUntil() {} })
      : exported.POST;
    if (exported.sink && exported.receiver) {
      const { delivery, heard } = ofToloka();
      expect(await exported.receiver.handle(delivery)).toMatchObject({ status: 200 });
      expect(printed.flat()).toEqual([]);
      exported.sink.work(exported.receiver);
      await vi.waitFor(() => expect(printed.flat()).toContain(heard), 60_000);
      await exported.sink.close();
    } else if (POST) {
      const { delivery, heard } = code.includes("prolificWebhook") ? ofProlific() : ofToloka();
      const response = await POST(new Request("http://localhost/toloka-webhook", delivery));
      expect(response.status).toBe(200);
      expect(printed.flat()).toContain(heard);
    } else if (server) {
      if (!server.listening) await once(server, "listening");
      if (code.includes("@crowdhook/audit")) expect(printed.at(-1)).toEqual(["safe"]);
      const { port } = server.address() as AddressInfo;
      // What a block says that it answers, such as "POST /hooks/toloka" in a comment.
      const said = [...code.matchAll(/\bPOST (\/[\w/-]+)/g)].map(([, path = ""]) => path);
      for (const path of said.length > 0 ? said : ["/toloka-webhook"]) {
        const { delivery, heard } = sentTo(path);
        printed.length = 0;
        const response = await fetch(`http://127.0.0.1:${port}${path}`, delivery);
        expect(`${path} ${response.status}`).toBe(`${path} 200`);
        // Behind a sink, a moment later.
        await vi.waitFor(() => expect(printed.flat()).toContain(heard), 60_000);
      }
    } else {
      // It sends itself what it handles.
      expect(printed.flat().join("\n")).toMatch(/pool-1|submission-1|task-1|passed:|"openapi"/);
    }
  });
});

import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const SECRET = "12345";
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const READMES = [
  "README.md",
  ...readdirSync(join(ROOT, "packages")).map((name) => `packages/${name}/README.md`),
];
const DOCS = readdirSync(join(ROOT, "docs"))
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);

interface Block {
  readonly name: string;
  readonly file: string;
  readonly code: string;
}

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

describe("runs as it stands", () => {
  const servers: Server[] = [];
  const { listen } = Server.prototype;
  const printed: unknown[][] = [];

  beforeEach(() => {
    vi.stubEnv("TOLOKA_SECRET", SECRET);
    vi.spyOn(console, "log").mockImplementation((...args) => void printed.push(args));
    // The blocks listen on a fixed port, as an app does; here every one of them gets a free one.
    vi.spyOn(Server.prototype, "listen").mockImplementation(function (this: Server, ...args: unknown[]) {
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
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  const genuine = () => signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });

  test.for(blocks)("$name", async ({ file, code }) => {
    const exported: { POST?: (request: Request) => Promise<Response> } = await import(file);
    const [server] = servers;
    if (exported.POST) {
      const response = await exported.POST(new Request("http://localhost/toloka-webhook", genuine()));
      expect(response.status).toBe(200);
    } else if (server) {
      if (!server.listening) await once(server, "listening");
      const address = server.address();
      const port = typeof address === "object" ? address?.port : undefined;
      // What a block says that it answers, such as "POST /hooks/toloka" in a comment.
      const said = [...code.matchAll(/\bPOST (\/[\w/-]+)/g)].map(([, path]) => path);
      for (const path of said.length > 0 ? said : ["/toloka-webhook"]) {
        printed.length = 0;
        const response = await fetch(`http://127.0.0.1:${port}${path}`, genuine());
        expect(`${path} ${response.status}`).toBe(`${path} 200`);
        expect(printed.flat()).toContain("pool-1");
      }
    }
    expect(printed.flat()).toContain("pool-1");
  });
});

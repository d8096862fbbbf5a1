import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const ROOT = join(import.meta.dirname, "../..");
const SECRETS = { TOLOKA_SECRET: "s3cret", PROLIFIC_SECRET: "s3cret" };

function blockOf(file: string, before: string): string {
  const text = readFileSync(join(ROOT, file), "utf8");
  const begin = text.indexOf(`${before}\n\n\`\`\`ts\n`);
  const [, block = ""] = text.slice(begin).match(/```ts\n([\s\S]*?)```/) ?? [];
  if (begin < 0 || !block.includes("app.listen(3000)")) throw new Error(`${file} has no quick start.`);
  return block;
}

/** Returns the quick start in the README, listening on a free port, followed by a delivery to it. */
export function readmeApp(): string {
  const block = blockOf("README.md", "## Quick start: Express");
  const [imports = "", code = ""] = block.split(/\n\n([\s\S]*)/);
  return `${imports}
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";

${code.replace("app.listen(3000)", "const server = app.listen(0, deliver)")}
async function deliver() {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : address;
  const send = (secret) => {
    const { headers, body } = signToloka({ secret, events: [tolokaEvent("POOL_CLOSED")] });
    return fetch(\`http://127.0.0.1:\${port}/toloka-webhook\`, { method: "POST", headers, body });
  };
  const statuses = [(await send("s3cret")).status, (await send("forged")).status];
  server.close();
  if (statuses.join() !== "200,401") throw new Error(\`The app answered \${statuses}.\`);
}
`;
}

export function runReadmeApp(folder: string, file: string, env: NodeJS.ProcessEnv): void {
  const output = execFileSync(process.execPath, [file], {
    cwd: folder,
    env: { ...env, ...SECRETS },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (!output.includes("MANUAL")) throw new Error(`The listener of ${file} printed: ${output}`);
}

/** Starts the app of the page about the quick start, and sends it an event with the page's command. */
export async function runQuickStartPage(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  const page = "docs/start/quick-start.md";
  const code = blockOf(page, "Save this as `app.mjs`:");
  const [, command] =
    /^\$ npx (crowdhook send .*) localhost:3000$/m.exec(readFileSync(join(ROOT, page), "utf8")) ?? [];
  if (command === undefined) throw new Error(`${page} sends no event.`);
  const listen = "app.listen(0, function () { console.log(this.address().port); })";
  writeFileSync(join(folder, "app.mjs"), code.replace("app.listen(3000)", listen));
  const options = { cwd: folder, env: { ...env, ...SECRETS } };
  const app = spawn(process.execPath, ["app.mjs"], { ...options, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(app, "exit");
  try {
    const lines = createInterface(app.stdout)[Symbol.asyncIterator]();
    const { value: port } = await lines.next();
    execFileSync("npx", [...command.split(" "), `localhost:${port}`], { ...options, stdio: "pipe" });
    const { value: printed } = await lines.next();
    if (!/^pool-1 MANUAL /.test(printed)) throw new Error(`The listener of ${page} printed: ${printed}`);
  } finally {
    app.kill();
    await exited;
  }
}

import { subscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const SECRET = "12345";

type Exports = Record<string, unknown>;
type Loaded = readonly [name: string, file: string | undefined, exports: number];

/** What this program prints about the entry points in its arguments. */
export interface Report {
  readonly imported: readonly Loaded[];
  readonly required: readonly Loaded[];
  /** Statuses of a signed delivery: by the imported packages, then by the required ones. */
  readonly statuses: readonly number[];
  /** Number of records on the diagnostics channel. */
  readonly published: number;
}

const extension = (file: string) => /\.\w+$/.exec(file)?.[0];

async function receive(load: (name: string) => Promise<Exports>): Promise<number> {
  const { createReceiver } = (await load("@crowdhook/core")) as typeof import("@crowdhook/core");
  const { toloka } = (await load("@crowdhook/core/toloka")) as typeof import("@crowdhook/core/toloka");
  const testing = (await load("@crowdhook/core/testing")) as typeof import("@crowdhook/core/testing");
  const events = [testing.tolokaEvent("POOL_CLOSED")];
  const receiver = createReceiver(toloka, { secret: SECRET });
  receiver.onAny(() => {});
  const reply = await receiver.handle(testing.signToloka({ secret: SECRET, events }));
  return reply.status;
}

let published = 0;
subscribe("crowdhook:delivery", () => published++);

const imported: Loaded[] = [];
const required: Loaded[] = [];
for (const name of process.argv.slice(2)) {
  imported.push([name, extension(import.meta.resolve(name)), Object.keys(await import(name)).length]);
  required.push([name, extension(require.resolve(name)), Object.keys(require(name)).length]);
}
const statuses = [await receive((name) => import(name)), await receive(async (name) => require(name))];
const report: Report = { imported, required, statuses, published };
console.log(JSON.stringify(report));

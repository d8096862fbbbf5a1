import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HeaderLines } from "./exchange.js";
import { UsageError } from "./output.js";

/** A delivery in a file, documented in `docs/cli.md`. */
export interface StoredDelivery {
  readonly receivedAt: Date;
  readonly method: string;
  /** With the query, as in the first line of the request. */
  readonly path: string;
  readonly headers: HeaderLines;
  /** The bytes exactly as they were sent. */
  readonly body: Uint8Array;
}

const VERSION = 1;

function format({ receivedAt, method, path, headers, body }: StoredDelivery): string {
  const text = Buffer.from(body).toString();
  // Text only if it comes back as the same bytes.
  const isText = Buffer.from(text).equals(body);
  return `${JSON.stringify(
    {
      version: VERSION,
      receivedAt: receivedAt.toISOString(),
      method,
      path,
      headers: headers.map(([name, value]) => `${name}: ${value}`),
      encoding: isText ? "utf-8" : "base64",
      body: isText ? text : Buffer.from(body).toString("base64"),
    },
    undefined,
    2,
  )}\n`;
}

/** @throws UsageError that says what is wrong with it. */
function parse(text: string, file: string): StoredDelivery {
  const wrong = (what: string) => new UsageError(`${file} is not a stored delivery: ${what}.`);
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(text));
  } catch {
    throw wrong("it is not JSON");
  }
  const { version, receivedAt, method, path, headers, encoding, body } = value;
  if (version !== VERSION) throw wrong(`its version is ${JSON.stringify(version)}, not ${VERSION}`);
  const time = new Date(String(receivedAt));
  if (Number.isNaN(time.getTime())) throw wrong("receivedAt is no time");
  if (typeof method !== "string" || !/^[A-Z-]+$/.test(method)) throw wrong("method is no HTTP method");
  if (typeof path !== "string" || !path.startsWith("/")) throw wrong('path does not begin with "/"');
  const lines = Array.isArray(headers) ? headers.map((line) => /^([^:]+): (.*)$/s.exec(line)) : [null];
  if (lines.includes(null)) throw wrong('headers is not a list of "Name: value"');
  if (encoding !== "utf-8" && encoding !== "base64") throw wrong("encoding is neither utf-8 nor base64");
  if (typeof body !== "string") throw wrong("body is not a string");
  const bytes = Buffer.from(body, encoding);
  if (bytes.toString(encoding) !== body) throw wrong(`body is not ${encoding}`);
  const pairs = lines.map((line) => [line?.[1] ?? "", line?.[2] ?? ""] as const);
  return { receivedAt: time, method, path, headers: pairs, body: bytes };
}

/** @throws UsageError if there is no such folder, and none can be made. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${folder} cannot be made a folder: ${code}.`);
  });
}

let saved = 0;

/** Gives the name of a file of its own, such that names sort in the order of their time. */
export async function save(folder: string, delivery: StoredDelivery): Promise<string> {
  const time = delivery.receivedAt.toISOString().replaceAll(":", "-");
  for (;;) {
    const file = join(folder, `${time}-${String(++saved).padStart(4, "0")}.json`);
    try {
      // For its owner's eyes: what it holds may be about people.
      await writeFile(file, format(delivery), { flag: "wx", mode: 0o600 });
      return file;
    } catch (error) {
      // Another process has this name.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

export async function load(file: string): Promise<StoredDelivery> {
  return parse(await readText(file), file);
}

/** The deliveries in files, and in folders all `.json` of them, in the order in which they were received. */
export async function loadAll(
  paths: readonly string[],
): Promise<readonly { readonly file: string; readonly delivery: StoredDelivery }[]> {
  const files = await Promise.all(
    paths.map(async (path) => {
      const isFolder = (await stat(path).catch(() => undefined))?.isDirectory();
      if (!isFolder) return [path];
      const names = (await readdir(path)).filter((name) => name.endsWith(".json")).sort();
      return names.map((name) => join(path, name));
    }),
  );
  const stored = await Promise.all(files.flat().map(async (file) => ({ file, delivery: await load(file) })));
  // The sort is stable: what was received in one millisecond stays in the order of the names.
  return stored.sort((a, b) => a.delivery.receivedAt.getTime() - b.delivery.receivedAt.getTime());
}

async function readText(file: string): Promise<string> {
  return (await readBytes(file)).toString();
}

/** `-` is standard input. */
export async function readBytes(file: string): Promise<Buffer> {
  if (file === "-") return (await import("node:stream/consumers")).buffer(process.stdin);
  return readFile(file).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} cannot be read: ${code === "ENOENT" ? "there is no such file" : code}.`);
  });
}

import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeValue } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import { UsageError } from "./output.js";

/** A delivery in a file. The format is documented in `docs/cli.md`. */
export interface StoredDelivery {
  readonly receivedAt: Date;
  readonly method: string;
  /** With the query, as in the request line. */
  readonly path: string;
  readonly headers: HeaderLines;
  /** The bytes exactly as they were sent. */
  readonly body: Uint8Array;
}

const VERSION = 1;

function format({ receivedAt, method, path, headers, body }: StoredDelivery): string {
  const text = Buffer.from(body).toString();
  // Text is stored only if it decodes to the same bytes again.
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

/** @throws UsageError that says why the text is not a stored delivery. */
function parse(text: string, file: string): StoredDelivery {
  const wrong = (why: string) => new UsageError(`${file} is not a stored delivery: ${why}.`);
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(text));
  } catch {
    throw wrong("it is not JSON");
  }
  const { version, receivedAt, method, path, headers, encoding, body } = value;
  if (version !== VERSION) throw wrong(`its version is ${describeValue(version)}, not ${VERSION}`);
  const time = new Date(String(receivedAt));
  if (Number.isNaN(time.getTime())) throw wrong("receivedAt is not a time");
  if (typeof method !== "string" || !/^[A-Z-]+$/.test(method)) throw wrong("method is not an HTTP method");
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

/** @throws UsageError if the folder neither exists nor can be created. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`The folder ${folder} cannot be created: ${code}.`);
  });
}

let saved = 0;

/** Writes a new file and returns its name. Names sort in the order of their times. */
export async function save(folder: string, delivery: StoredDelivery): Promise<string> {
  const time = delivery.receivedAt.toISOString().replaceAll(":", "-");
  for (;;) {
    const file = join(folder, `${time}-${String(++saved).padStart(4, "0")}.json`);
    try {
      // Readable only for the owner, because deliveries may contain personal data.
      await writeFile(file, format(delivery), { flag: "wx", mode: 0o600 });
      return file;
    } catch (error) {
      // Another process has taken this name.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

export async function load(file: string): Promise<StoredDelivery> {
  return parse(await readText(file), file);
}

/** Returns the deliveries in files and in the `.json` files of folders, in the order in which they were received. */
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
  // The sort is stable, so deliveries of one millisecond stay in the order of their names.
  return stored.sort((a, b) => a.delivery.receivedAt.getTime() - b.delivery.receivedAt.getTime());
}

async function readText(file: string): Promise<string> {
  return (await readBytes(file)).toString();
}

/** Reads a file, or standard input for `-`. */
export async function readBytes(file: string): Promise<Buffer> {
  if (file === "-") return (await import("node:stream/consumers")).buffer(process.stdin);
  return readFile(file).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} cannot be read: ${code === "ENOENT" ? "there is no such file" : code}.`);
  });
}

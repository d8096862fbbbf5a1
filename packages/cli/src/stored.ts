import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { formatDelivery, NotStored, parseDelivery, type StoredDelivery } from "@crowdhook/core/internal";
import { UsageError } from "./output.js";

/** A file is there, and holds something else than a delivery. */
class NotStoredFile extends UsageError {
  readonly why: string;

  constructor(file: string, fault: string) {
    super(`${file} is not a stored delivery: ${fault}.`);
    this.why = `not a stored delivery: ${fault}`;
  }
}

/** @throws UsageError if no file can be written in the folder, or if it cannot be created. */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await makeParents(resolve(folder));
    // The rights of a folder do not tell: its file system may be read-only.
    const probe = join(folder, `.crowdhook-${process.pid}-${Date.now()}`);
    await writeFile(probe, "", { flag: "wx" });
    await rm(probe);
  } catch (error) {
    throw new UsageError(
      `Deliveries cannot be saved in ${folder}: ${causeOf(error)}. Choose another folder with --save.`,
    );
  }
}

/** In place of the `recursive` of `mkdir`, which never ends in `/proc`. */
async function makeParents(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory()) return;
  if (dirname(folder) !== folder) await makeParents(dirname(folder));
  await mkdir(folder);
}

const CAUSES: Readonly<Record<string, string>> = {
  EACCES: "you have no right to write there",
  EDQUOT: "your disk quota is used up",
  EEXIST: "a file of this name is in the way",
  EFBIG: "the file would be larger than allowed",
  ENOENT: "the file system allows no new files there",
  ENOSPC: "the disk is full",
  ENOTDIR: "a file is in the way",
  EPERM: "you have no right to write there",
  EROFS: "the file system is read-only",
};

/** Returns why a file cannot be written, in words. */
export function causeOf(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const words = Object.hasOwn(CAUSES, code) ? CAUSES[code] : undefined;
  return words === undefined ? code || message : `${words} (${code})`;
}

/** Returns the deliveries in a folder that no `listen` has shown yet, in the order of their names. */
export async function notShownIn(folder: string): Promise<readonly string[]> {
  const files = await filesIn(folder);
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return files.filter((_, index) => (times[index] ?? 0) % 1000 !== 0);
}

/**
 * Marks a saved delivery as shown: by a time of modification in whole seconds, which no new file has. The
 * content stays, and the folder holds nothing but deliveries.
 */
export async function markShown(
  file: string,
  { receivedAt }: Pick<StoredDelivery, "receivedAt">,
): Promise<void> {
  const seconds = Math.floor(receivedAt.getTime() / 1000);
  // Without the mark, a file of somebody else is shown again.
  await utimes(file, seconds, seconds).catch(() => {});
}

let saved = 0;

/** Writes a new file and returns its name. Names sort in the order of their times. */
export async function save(folder: string, delivery: StoredDelivery): Promise<string> {
  const time = delivery.receivedAt.toISOString().replaceAll(":", "-");
  for (;;) {
    const file = join(folder, `${time}-${String(++saved).padStart(4, "0")}.json`);
    try {
      // Readable only for the owner, because deliveries may contain personal data.
      await writeFile(file, formatDelivery(delivery), { flag: "wx", mode: 0o600 });
      return file;
    } catch (error) {
      // Another process has taken this name.
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      // On a full disk, a part of the file may have been written.
      await rm(file, { force: true }).catch(() => {});
      throw error;
    }
  }
}

/**
 * Adds the answer to the file of a delivery. The file is replaced as a whole, so that a process that is killed
 * leaves the delivery without the answer and never a part of it.
 */
export async function saveAnswer(file: string, delivery: StoredDelivery): Promise<void> {
  // Not `.json`: it is no delivery yet.
  const whole = `${file}.part`;
  try {
    await writeFile(whole, formatDelivery(delivery), { mode: 0o600 });
    await rename(whole, file);
  } catch (error) {
    await rm(whole, { force: true }).catch(() => {});
    throw error;
  }
}

/** @throws UsageError if the file cannot be read or is not a stored delivery. */
export async function load(file: string): Promise<StoredDelivery> {
  const text = decodeText(await readBytes(file));
  if (text === undefined) throw new NotStoredFile(file, "it is no text in UTF-8");
  try {
    return parseDelivery(text);
  } catch (error) {
    throw error instanceof NotStored ? new NotStoredFile(file, error.message) : error;
  }
}

/** A file that holds a delivery, or does not. */
export interface StoredFile {
  readonly file: string;
  readonly delivery: StoredDelivery;
}
export interface SkippedFile {
  readonly file: string;
  readonly why: string;
}

/**
 * Returns the deliveries in files and in the `.json` files of folders, in the order in which they were received,
 * and apart from them the files that hold no delivery.
 *
 * @throws UsageError for a path that cannot be read.
 */
export async function loadAll(
  paths: readonly string[],
): Promise<{ readonly stored: readonly StoredFile[]; readonly skipped: readonly SkippedFile[] }> {
  const files = await Promise.all(
    paths.map(async (path) => {
      const isFolder = (await stat(path).catch(() => undefined))?.isDirectory();
      return isFolder ? filesIn(path) : [path];
    }),
  );
  const stored: StoredFile[] = [];
  const skipped: SkippedFile[] = [];
  for (const file of files.flat()) {
    try {
      stored.push({ file, delivery: await load(file) });
    } catch (error) {
      if (!(error instanceof NotStoredFile)) throw error;
      skipped.push({ file, why: error.why });
    }
  }
  // The sort is stable, so deliveries of one millisecond stay in the order of their names.
  stored.sort((a, b) => a.delivery.receivedAt.getTime() - b.delivery.receivedAt.getTime());
  return { stored, skipped };
}

/** Returns the `.json` files of a folder, sorted by name. */
export async function filesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`The folder ${folder} cannot be read: ${code}.`);
  });
  return names
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => join(folder, name));
}

/** Byte order marks, with the encodings that they stand for. Windows PowerShell writes UTF-16. */
const MARKS = [
  { mark: [0xff, 0xfe], encoding: "utf-16le" },
  { mark: [0xfe, 0xff], encoding: "utf-16be" },
] as const;

/** Returns the text without its byte order mark; `undefined` if the bytes are no text. */
export function decodeText(bytes: Uint8Array): string | undefined {
  const marked = MARKS.find(({ mark }) => mark.every((byte, index) => bytes[index] === byte));
  try {
    return new TextDecoder(marked?.encoding ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Reads a file, or standard input for `-`. */
export async function readBytes(file: string): Promise<Buffer> {
  if (file === "-") return (await import("node:stream/consumers")).buffer(process.stdin);
  return readFile(file).catch(({ code }: NodeJS.ErrnoException) => {
    throw new UsageError(`${file} cannot be read: ${code === "ENOENT" ? "there is no such file" : code}.`);
  });
}

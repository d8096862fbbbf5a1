import { isObject } from "@crowdhook/core/internal";
import { UsageError } from "../output.js";
import { decodeText, readBytes } from "../stored.js";

/**
 * Returns the object that `--data` gives: as JSON, as the name of a file, or `-` for standard input.
 *
 * @throws UsageError
 */
export async function fieldsIn(data: string): Promise<Readonly<Record<string, unknown>>> {
  const isInline = /^\s*[{["]/.test(data);
  const value = parse(isInline ? data : await read(data), isInline ? "--data" : `--data ${data}`);
  if (isObject(value)) return value;
  throw new UsageError("--data must be a JSON object: the fields of an event.");
}

async function read(file: string): Promise<string> {
  const bytes = await readBytes(file).catch((error) => {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--data: ${error.message} JSON on the command line begins with {.`);
  });
  const text = decodeText(bytes);
  if (text === undefined) throw new UsageError(`--data ${file} is no text in UTF-8.`);
  return text;
}

function parse(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${source} must be a JSON object, but is no JSON: ${(error as Error).message}.`);
  }
}

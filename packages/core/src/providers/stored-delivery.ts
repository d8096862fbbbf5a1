import type { DeliveryHeaders } from "../delivery.js";
import { describeValue } from "../text/describe.js";
import { decodeUtf8 } from "../text/utf8.js";
import type { HeaderLines } from "./sender.js";

/** A delivery in a file. `docs/reference/command.md` documents the format. */
export interface StoredDelivery {
  readonly receivedAt: Date;
  readonly method: string;
  /** With the query, as in the request line. */
  readonly path: string;
  readonly headers: HeaderLines;
  /** The bytes exactly as they were sent. */
  readonly body: Uint8Array;
  /** Absent if the process ended before the answer, or if the file is of an older release. */
  readonly answered?: StoredAnswer | undefined;
}

/** What became of a delivery. */
export interface StoredAnswer {
  /** The code of a refusal; otherwise `genuine` or `not verified`. */
  readonly verdict: string;
  /** The app that the delivery was passed on to, and gave the answer. */
  readonly forwardedTo?: string | undefined;
  /** Why the app gave no answer. The fields below are absent then. */
  readonly failure?: string | undefined;
  readonly answer?:
    | { readonly status: number; readonly headers: HeaderLines; readonly body: Uint8Array }
    | undefined;
  /** How long the app took. */
  readonly milliseconds?: number | undefined;
}

const VERSION = 1;

/** Returns the text of the file. */
export function formatDelivery(delivery: StoredDelivery): string {
  const { receivedAt, method, path, headers, body, answered } = delivery;
  const stored = {
    version: VERSION,
    receivedAt: receivedAt.toISOString(),
    method,
    path,
    headers: linesOf(headers),
    ...encodeBody(body),
    answered: answered && {
      ...answered,
      answer: answered.answer && {
        status: answered.answer.status,
        headers: linesOf(answered.answer.headers),
        ...encodeBody(answered.answer.body),
      },
    },
  };
  return `${JSON.stringify(stored, undefined, 2)}\n`;
}

const linesOf = (headers: HeaderLines) => headers.map(([name, value]) => `${name}: ${value}`);

/** Returns bytes as text if it is the same bytes again, otherwise in base64. */
export function encodeBody(body: Uint8Array): {
  readonly encoding: "utf-8" | "base64";
  readonly body: string;
} {
  const text = decodeUtf8(body);
  return text === undefined
    ? { encoding: "base64", body: Buffer.from(body).toString("base64") }
    : { encoding: "utf-8", body: text };
}

/** The text is not that of a stored delivery. The message says why, as the end of a sentence. */
export class NotStored extends Error {}

/** @throws NotStored */
export function parseDelivery(text: string): StoredDelivery {
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(text));
  } catch {
    throw new NotStored("it is not JSON");
  }
  const { version, receivedAt, method, path } = value;
  if (version !== VERSION) throw new NotStored(`its version is ${describeValue(version)}, not ${VERSION}`);
  const time = new Date(String(receivedAt));
  if (Number.isNaN(time.getTime())) throw new NotStored("receivedAt is not a time");
  if (typeof method !== "string" || !/^[A-Z-]+$/.test(method))
    throw new NotStored("method is not an HTTP method");
  if (typeof path !== "string" || !path.startsWith("/")) throw new NotStored('path does not begin with "/"');
  const answered = answeredIn(value);
  const request = { receivedAt: time, method, path, headers: headersIn(value), body: bodyIn(value) };
  return answered ? { ...request, answered } : request;
}

/** Returns nothing for an answer that cannot be read: the delivery can still be sent again. */
function answeredIn({ answered }: Readonly<Record<string, unknown>>): StoredAnswer | undefined {
  const { verdict, forwardedTo, failure, answer, milliseconds } = Object(answered);
  if (typeof verdict !== "string") return undefined;
  const known = {
    verdict,
    ...(typeof forwardedTo === "string" && URL.canParse(forwardedTo) && { forwardedTo }),
    ...(typeof milliseconds === "number" && { milliseconds }),
  };
  if (typeof failure === "string") return { ...known, failure };
  const { status } = Object(answer);
  if (!Number.isInteger(status)) return undefined;
  try {
    return { ...known, answer: { status, headers: headersIn(answer), body: bodyIn(answer) } };
  } catch {
    return undefined;
  }
}

function headersIn({ headers }: Readonly<Record<string, unknown>>): HeaderLines {
  const lines = Array.isArray(headers) ? headers.map((line) => /^([^:]+): (.*)$/s.exec(line)) : [null];
  if (lines.includes(null)) throw new NotStored('headers is not a list of "Name: value"');
  return lines.map((line) => [line?.[1] ?? "", line?.[2] ?? ""] as const);
}

function bodyIn({ encoding, body }: Readonly<Record<string, unknown>>): Uint8Array {
  if (encoding !== "utf-8" && encoding !== "base64")
    throw new NotStored("encoding is neither utf-8 nor base64");
  if (typeof body !== "string") throw new NotStored("body is not a string");
  const bytes = Buffer.from(body, encoding);
  if (bytes.toString(encoding) !== body) throw new NotStored(`body is not ${encoding}`);
  return bytes;
}

/** Returns the headers for a receiver. */
export function headersOf(lines: HeaderLines): DeliveryHeaders {
  return {
    keys: () => lines.map(([name]) => name),
    get(wanted) {
      const values = lines.filter(([name]) => name.toLowerCase() === wanted.toLowerCase());
      return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
    },
  };
}

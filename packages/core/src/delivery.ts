import type { MaybePromise } from "./values/maybe-promise.js";

/** Request headers. `get` is case-insensitive, and joins several lines of one name with `", "`. */
export interface DeliveryHeaders {
  get(name: string): string | null | undefined;
  /** Returns the names. Optional: only messages to the operator use it. */
  keys?(): Iterable<string>;
}

/** One HTTP request from a provider. */
export interface Delivery {
  readonly method: string;
  readonly headers: DeliveryHeaders;
  /** The exact bytes that the provider sent. The signature covers them. */
  readonly body: Uint8Array;
}

/** Bytes, as any of the binary types that hosts use. */
export type Bytes = ArrayBuffer | ArrayBufferView;

/** The reason why a body could not be read. `hint` names the fix for the operator. The sender never sees it. */
export interface BodyFailure {
  readonly code: "BODY_TOO_LARGE" | "BODY_ABORTED" | "BODY_UNAVAILABLE";
  readonly hint?: string;
}

/** The argument of `handle`: a request as an app or an adapter has it, before any check. */
export interface IncomingDelivery {
  readonly method: string;
  /** An object with `get(name)`, such as `Headers`, or a record, such as Node's `req.headers`. */
  readonly headers: DeliveryHeaders | Readonly<Record<string, string | readonly string[] | undefined>>;
  /**
   * The exact bytes; a string stands for its UTF-8 bytes. Or a function that reads them. The receiver
   * calls it after it has checked the method and the encoding. `limit` is the largest size in bytes.
   */
  readonly body: Bytes | string | ((limit: number) => MaybePromise<Bytes | string | BodyFailure>);
  /** Aborts when the sender hangs up. The receiver reads this property only if `context.signal` is read. */
  readonly signal?: AbortSignal | undefined;
}

/** Returns headers with a case-insensitive `get`. Headers that have a `get` are returned as they are. */
export function toHeaders(headers: IncomingDelivery["headers"]): DeliveryHeaders {
  if (typeof headers.get === "function") return headers as DeliveryHeaders;
  const record = headers as Readonly<Record<string, string | readonly string[] | undefined>>;
  return {
    keys: () => Object.keys(record),
    get(name) {
      const wanted = name.toLowerCase();
      const lines: string[] = [];
      for (const key of Object.keys(record)) {
        if (key.length !== wanted.length || key.toLowerCase() !== wanted) continue;
        const value = record[key];
        if (value !== undefined) lines.push(...(typeof value === "string" ? [value] : value));
      }
      return lines.length === 0 ? undefined : lines.join(", ");
    },
  };
}

import type { MaybePromise } from "./values/maybe-promise.js";

/** Request headers by name, in any case. Several lines of one name are joined by `", "`. */
export interface DeliveryHeaders {
  get(name: string): string | null | undefined;
}

/** One HTTP request from a provider. */
export interface Delivery {
  readonly method: string;
  readonly headers: DeliveryHeaders;
  /** The bytes exactly as they were sent: the signature covers these. */
  readonly body: Uint8Array;
}

/** Bytes in any form in which hosts hand them out. */
export type Bytes = ArrayBuffer | ArrayBufferView;

/** Why there are no bytes. `hint` tells the operator the fix; the sender never sees it. */
export interface BodyFailure {
  readonly code: "BODY_TOO_LARGE" | "BODY_ABORTED" | "BODY_UNAVAILABLE";
  readonly hint?: string;
}

/** The argument of `handle`: a delivery in the form in which an app or an adapter has it. */
export interface IncomingDelivery {
  readonly method: string;
  /** Anything with `get(name)` such as `Headers`, or a record such as Node's `req.headers`. */
  readonly headers: DeliveryHeaders | Readonly<Record<string, string | readonly string[] | undefined>>;
  /**
   * The exact bytes; a string stands for its UTF-8 bytes. Or a function that reads them: the receiver
   * calls it after it has checked the request's head, with the largest size in bytes to accept.
   */
  readonly body: Bytes | string | ((limit: number) => MaybePromise<Bytes | string | BodyFailure>);
  /** Aborts when the sender hangs up. Read only if a listener reads it. */
  readonly signal?: AbortSignal | undefined;
}

/** Returns headers that can be read by name, from either form that `handle` accepts. */
export function toHeaders(headers: IncomingDelivery["headers"]): DeliveryHeaders {
  if (typeof headers.get === "function") return headers as DeliveryHeaders;
  const record = headers as Readonly<Record<string, string | readonly string[] | undefined>>;
  return {
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

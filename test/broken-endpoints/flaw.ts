import type http from "node:http";
import type { EndpointProvider, PlainEndpoint } from "../plain-endpoint.js";

type Headers = http.IncomingHttpHeaders;

export const OK = { status: 200, text: "ok" };
export const FAILED = { status: 500, text: "failed" };
export const never = () => new Promise<never>(() => {});

/** Returns the signature header of either provider. */
export const signatureIn = (headers: Headers) =>
  String(headers["toloka-signature"] ?? headers["x-prolific-request-signature"] ?? "");

/** One mistake that people make in a webhook endpoint. */
export interface Flaw {
  /** Completes "an endpoint that …". */
  readonly name: string;
  /** The slow checks to run, or "all". Default: none, because they would not fail. */
  readonly slow?: string;
  /** Puts the mistake into a correct endpoint. */
  readonly breaks: (endpoint: PlainEndpoint) => unknown;
  /** The checks that fail, in their order. A provider is missing if this is no mistake for it. */
  readonly fails: Partial<Record<EndpointProvider, string>>;
}

export const both = (ids: string) => ({ toloka: ids, prolific: ids });

/** Replaces the endpoint's parser by one that accepts any digest. */
export function readsDigest(endpoint: PlainEndpoint, read: (digest: string) => string): void {
  const { signature } = endpoint;
  endpoint.signature = (headers) => {
    const sent =
      /sign=(\w*)/.exec(signatureIn(headers))?.[1] ??
      (headers["toloka-signature"] ? "" : signatureIn(headers));
    const time = /ts=(\d+)/.exec(signatureIn(headers))?.[1] ?? headers["x-prolific-request-timestamp"];
    const digest = read(sent);
    if (!/^\d+$/.test(String(time))) return signature.call(endpoint, headers);
    return endpoint.provider === "toloka"
      ? { prefix: `${time}.${/v=(\d+)/.exec(signatureIn(headers))?.[1]}.`, digest, time: Number(time) }
      : { prefix: String(time), digest, time: Number(time) * 1000 };
  };
}

/** Runs `more` before a step, and skips the step if `more` returns a result. */
export function before<Step extends "events" | "handle" | "handleAll" | "refusal" | "forged" | "unreadable">(
  endpoint: PlainEndpoint,
  step: Step,
  more: (...args: Parameters<PlainEndpoint[Step]>) => ReturnType<PlainEndpoint[Step]> | undefined,
): void {
  const own = endpoint[step] as (...args: Parameters<PlainEndpoint[Step]>) => ReturnType<PlainEndpoint[Step]>;
  endpoint[step] = ((...args: Parameters<PlainEndpoint[Step]>) =>
    more(...args) ?? own.apply(endpoint, args)) as PlainEndpoint[Step];
}

import { createHmac, timingSafeEqual } from "node:crypto";
import type http from "node:http";
import { listen } from "./targets.js";

/** The providers whose rules `PlainEndpoint` implements. */
export type EndpointProvider = "toloka" | "prolific";

export const SECRETS = ["s3cret-one", "s3cret-two"] as const;

export interface Signature {
  /** The text that is signed in front of the body. */
  prefix: string;
  /** The sent digest, with the leading zeros that Toloka drops. */
  digest: string;
  /** In milliseconds. */
  time: number;
}

export interface PlainEvent {
  id: unknown;
  type: unknown;
  content: Record<string, unknown>;
}

export interface Reply {
  status: number;
  text?: string;
  headers?: Record<string, string>;
}

const TYPES: Record<EndpointProvider, readonly string[]> = {
  toloka: [
    "POOL_CLOSED",
    "DYNAMIC_OVERLAP_COMPLETED",
    "TEST_EVENT",
    ...["CREATED", "SUBMITTED", "SKIPPED", "EXPIRED", "APPROVED", "REJECTED"].map(
      (what) => `ASSIGNMENT_${what}`,
    ),
  ],
  prolific: [
    "submission.status.change",
    "study.status.change",
    "study.progress.change",
    "study.has_high_return_rate",
  ],
};

/**
 * A correct endpoint that uses no code of crowdhook. Each step is a method, so that a test can replace it by
 * a wrong one.
 */
export class PlainEndpoint {
  readonly handled: string[] = [];
  readonly done = new Set<string>();
  /** The id that each signature arrived with first, because Prolific does not sign ids. */
  readonly signed = new Map<string, unknown>();
  secrets: readonly string[] = SECRETS;
  limit = 8 * 1024 * 1024;

  constructor(readonly provider: EndpointProvider) {}

  /** Stops the server. `serve` sets it. */
  die = async () => {};

  async answer(request: http.IncomingMessage): Promise<Reply> {
    const refusal = this.refusal(request);
    if (refusal) return refusal;
    const body = await this.read(request);
    if (!body) return this.tooLarge(request);
    if (!this.isGenuine(request.headers, body)) return this.forged(request.headers, body);
    const events = this.events(body, request.headers);
    if (!events) return this.unreadable(body);
    return this.isCopy(request.headers) ? { status: 200, text: "ok" } : this.handleAll(events);
  }

  refusal({ url, method }: http.IncomingMessage): Reply | undefined {
    if (url !== "/webhook") return { status: 404 };
    if (method !== "POST") return { status: 405, headers: { allow: "POST" } };
    return undefined;
  }

  /** Returns `undefined` if the body is too large. */
  async read(request: http.IncomingMessage): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of request) {
      size += chunk.byteLength;
      if (size <= this.limit) chunks.push(chunk);
    }
    return size <= this.limit ? Buffer.concat(chunks) : undefined;
  }

  tooLarge(_request: http.IncomingMessage): Reply {
    return { status: 413 };
  }

  isGenuine(headers: http.IncomingHttpHeaders, body: Buffer): boolean {
    const signature = this.signature(headers);
    if (!signature || !this.isInTime(signature.time)) return false;
    return this.secrets.some((secret) =>
      this.fits(signature.digest, this.sign(secret, signature.prefix, body)),
    );
  }

  signature(headers: http.IncomingHttpHeaders): Signature | undefined {
    if (this.provider === "prolific") {
      const time = String(headers["x-prolific-request-timestamp"] ?? "");
      const digest = String(headers["x-prolific-request-signature"] ?? "");
      if (!/^\d{1,11}$/.test(time) || !/^[\w+/]{43}=$/.test(digest)) return undefined;
      return { prefix: time, digest, time: Number(time) * 1000 };
    }
    const [, inside = ""] = /^\{([^{}]*)\}$/.exec(String(headers["toloka-signature"] ?? "")) ?? [];
    const fields = new Map(inside.split(",").map((field) => field.trim().split("=", 2) as [string, string]));
    const [v = "", ts = "", sign = ""] = ["v", "ts", "sign"].map((name) => fields.get(name));
    if (!/^\d+$/.test(v) || !/^\d{1,15}$/.test(ts) || !/^[0-9a-f]{40,64}$/.test(sign)) return undefined;
    return { prefix: `${ts}.${v}.`, digest: sign.padStart(64, "0"), time: Number(ts) };
  }

  isInTime(time: number): boolean {
    return Math.abs(Date.now() - time) <= 300_000;
  }

  sign(secret: string, prefix: string, body: Buffer): string {
    const encoding = this.provider === "toloka" ? "hex" : "base64";
    return createHmac("sha256", secret).update(prefix).update(body).digest(encoding);
  }

  fits(digest: string, computed: string): boolean {
    return digest.length === computed.length && timingSafeEqual(Buffer.from(digest), Buffer.from(computed));
  }

  /** Runs after a sender has hung up. */
  async brokenOff(): Promise<void> {}

  isCopy(headers: http.IncomingHttpHeaders): boolean {
    if (this.provider !== "prolific") return false;
    const signature = String(headers["x-prolific-request-signature"]);
    const id = this.signed.get(signature) ?? headers["x-event-id"];
    this.signed.set(signature, id);
    return id !== headers["x-event-id"];
  }

  forged(_headers: http.IncomingHttpHeaders, _body: Buffer): Reply | Promise<Reply> {
    return { status: 401, text: "no" };
  }

  /** Returns `undefined` if the body is malformed. */
  events(body: Buffer, headers: http.IncomingHttpHeaders): PlainEvent[] | undefined {
    try {
      const json = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
      if (this.provider === "prolific") {
        if (typeof json.event_type !== "string") return undefined;
        return [{ id: headers["x-event-id"], type: json.event_type, content: json }];
      }
      if (!("events" in json))
        return json.type ? [{ id: json.uuid, type: json.type, content: json }] : undefined;
      return json.events.map((content: PlainEvent["content"]) => {
        return { id: content.uuid, type: content.type, content };
      });
    } catch {
      return undefined;
    }
  }

  unreadable(_body: Buffer): Reply | Promise<Reply> {
    return { status: 400, text: "malformed" };
  }

  async handleAll(events: readonly PlainEvent[]): Promise<Reply> {
    let status = 200;
    for (const event of events) if (!(await this.handle(event))) status = 422;
    return { status, text: status === 200 ? "ok" : "malformed event" };
  }

  isKnown(type: unknown): boolean {
    return TYPES[this.provider].includes(type as string);
  }

  /** Returns whether the event is handled, or of a type that needs no handling. */
  handle({ id, type }: PlainEvent): boolean | Promise<boolean> {
    if (!this.isKnown(type)) return true;
    if (typeof id !== "string" || id === "") return false;
    if (!this.done.has(id)) {
      this.done.add(id);
      this.handled.push(id);
    }
    return true;
  }
}

/** Serves the endpoint at `/webhook` and its report route at `/handled`. */
export function handlerOf(endpoint: PlainEndpoint): http.RequestListener {
  return async (request, response) => {
    if (request.url === "/handled") {
      response.end(JSON.stringify({ handled: endpoint.handled }));
      return;
    }
    try {
      const { status, text = "", headers } = await endpoint.answer(request);
      response.writeHead(status, headers).end(text);
    } catch {
      await endpoint.brokenOff();
    }
  };
}

export async function serve(endpoint: PlainEndpoint) {
  const { origin, close } = await listen(handlerOf(endpoint));
  endpoint.die = close;
  return { url: `${origin}/webhook`, report: `${origin}/handled`, close };
}

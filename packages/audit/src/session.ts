import { setTimeout as pause } from "node:timers/promises";
import type { HeaderLines, Sender, SentEvent } from "@crowdhook/core/testing";
import { secretFormat } from "./capabilities.js";
import { type AuditDelivery, composeDelivery, type Draft, newEvent, toBuffer } from "./delivery.js";
import {
  type Answer,
  exchange,
  formatHead,
  type Limits,
  NoAnswer,
  type Outgoing,
  sendAndHangUp,
  sendRaw,
} from "./exchange.js";
import { CheckFailed, CheckSkipped } from "./outcome.js";
import { Redaction } from "./redaction.js";

export interface SessionOptions {
  readonly url: URL;
  readonly sender: Sender;
  readonly secrets: readonly [string, ...string[]];
  readonly report: URL | undefined;
  /** For one exchange, in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/** An answer with the valid digests that its delivery did not hold. */
export interface Answered extends Pick<AuditDelivery, "withheldDigests"> {
  readonly answer: Answer;
}

const CLOSE: HeaderLines = [["Connection", "close"]];
const EMPTY = Buffer.alloc(0);

/** How long a process that died may take to restart. */
const RESTART_MS = 2_000;
/** A check may take as long as this many exchanges. */
const MAX_EXCHANGES = 4;

/** One audit of one endpoint: sends deliveries, judges the answers, and remembers what the later checks need. */
export class Session {
  readonly answers: Answered[] = [];
  readonly redaction: Redaction;
  /** The ids of all events that were sent. */
  readonly sent = new Set<string>();
  /** The ids of events in refused deliveries, each with the check that sent it. */
  readonly refused = new Map<string, string>();
  /** The number of requests that timed out. */
  timedOut = 0;
  /** The number of exchanges that the current check completed. */
  completed = 0;
  /** Whether the endpoint stopped answering for good. */
  isDown = false;
  /** The check after which the endpoint stopped answering, for a while or for good. */
  downAfter: string | undefined;
  private check = "";
  /** When the current check must end, on the clock of `performance.now()`. */
  private deadline = Number.POSITIVE_INFINITY;

  constructor(readonly options: SessionOptions) {
    this.redaction = new Redaction(this.confidential);
  }

  get sender(): Sender {
    return this.options.sender;
  }

  /** The secrets, and the keys in them without the prefix that all secrets of the provider have. */
  get confidential(): readonly string[] {
    const { prefix } = secretFormat(this.sender) ?? {};
    return this.options.secrets.flatMap((secret) =>
      prefix && secret.startsWith(prefix) ? [secret, secret.slice(prefix.length)] : [secret],
    );
  }

  /** A secret that the endpoint does not have, in the form of the provider's secrets. */
  get wrongSecret(): string {
    const wrong = `not-${this.options.secrets[0]}`;
    const format = secretFormat(this.sender);
    return format ? `${format.prefix ?? ""}${Buffer.from(wrong).toString(format.encoding)}` : wrong;
  }

  /** Returns a new event. @param type Default: the provider's default type. */
  event(fields?: Readonly<Record<string, unknown>>, type = this.sender.defaultType): SentEvent {
    return newEvent(this.sender, type, fields);
  }

  begin(check: string): void {
    this.check = check;
    this.completed = 0;
    this.deadline = performance.now() + MAX_EXCHANGES * this.options.timeout;
  }

  delivery(draft: Draft = {}): AuditDelivery {
    const delivery = composeDelivery(this.options, draft);
    this.redaction.add(delivery.withheldDigests);
    for (const id of delivery.ids) this.sent.add(id);
    return delivery;
  }

  private prepared(draft: Draft | AuditDelivery): AuditDelivery {
    return "withheldDigests" in draft ? draft : this.delivery(draft);
  }

  /** @throws NoAnswer */
  async send(draft: Draft | AuditDelivery = {}): Promise<Answer> {
    const delivery = this.prepared(draft);
    const answer = await this.counted(exchange(this.options.url, delivery, this.limits));
    this.answers.push({ answer, withheldDigests: delivery.withheldDigests });
    return answer;
  }

  /** Expects 2xx for each delivery. With a report route, expects that its events are handled. */
  async expectAccepted(...drafts: readonly (Draft | AuditDelivery)[]): Promise<void> {
    for (const draft of drafts) {
      const delivery = this.prepared(draft);
      const answer = await this.send(delivery);
      if (!isSuccess(answer.status)) throw new CheckFailed("2xx", this.redaction.describe(answer));
      if (this.options.report) await this.expectHandled(delivery.ids);
    }
  }

  /** Expects any status but 2xx for each delivery. */
  async expectRefused(...drafts: readonly Draft[]): Promise<void> {
    const ids: string[] = [];
    for (const draft of drafts) {
      const delivery = this.delivery(draft);
      const answer = await this.send(delivery);
      if (isSuccess(answer.status))
        throw new CheckFailed("a refusal, not 2xx", this.redaction.describe(answer));
      ids.push(...delivery.ids);
    }
    for (const id of ids) this.refused.set(id, this.check);
  }

  /** Expects a status in this range for each delivery. */
  async expectStatus(expected: keyof typeof STATUS_RANGES, ...drafts: readonly Draft[]): Promise<void> {
    for (const draft of drafts) {
      const answer = await this.send(draft);
      if (!STATUS_RANGES[expected](answer.status)) {
        throw new CheckFailed(expected, this.redaction.describe(answer));
      }
    }
  }

  /** Expects that the report route lists all ids before the timeout. */
  async expectHandled(ids: readonly string[]): Promise<void> {
    const until = performance.now() + this.limits.milliseconds;
    for (let wait = 5; ; wait = Math.min(2 * wait, 100)) {
      const handled = new Set(await this.handledIds());
      const missing = ids.filter((id) => !handled.has(id)).length;
      if (missing === 0) return;
      if (performance.now() > until) {
        throw new CheckFailed(
          "2xx, and all of its events handled",
          `2xx, but ${missing} of ${ids.length} are not at the report route after ${this.options.timeout / 1000} s`,
        );
      }
      await pause(wait);
    }
  }

  /** Expects that the endpoint handled each event once, after it has finished all deliveries so far. */
  async expectHandledOnce(ids: readonly string[]): Promise<void> {
    // An endpoint that keeps any order handles this later delivery last.
    await this.expectAccepted({});
    const handled = await this.handledIds();
    const times = ids.map((id) => handled.filter((other) => other === id).length);
    const isOnce = times.every((count) => count === 1);
    this.expect(isOnce, "handled once", times.map((count) => `handled ${count} times`).join(", "));
  }

  expect(isMet: boolean, expected: string, seen: string): void {
    if (!isMet) throw new CheckFailed(expected, seen);
  }

  /** Reads the report route. */
  async handledIds(): Promise<readonly string[]> {
    const { report } = this.options;
    if (report === undefined) throw new CheckSkipped("there is no report route");
    const answer = await this.counted(
      exchange(report, { method: "GET", headers: [], body: EMPTY }, this.limits),
    );
    const handled = isSuccess(answer.status) ? parseHandled(answer.body) : undefined;
    if (handled) return handled;
    throw new CheckFailed(
      '{"handled": ["<event id>", …]} from the report route',
      this.redaction.describe(answer),
    );
  }

  /** Writes all deliveries to one connection without waiting, and returns the statuses of the answers. */
  async sendPipelined(...drafts: readonly Draft[]): Promise<readonly number[]> {
    const { url } = this.options;
    const written = drafts.flatMap((draft, i) => {
      const delivery = this.delivery(draft);
      const isLast = i === drafts.length - 1;
      return [formatHead(url, delivery, [...lengthOf(delivery), ...(isLast ? CLOSE : [])]), delivery.body];
    });
    return this.counted(sendRaw(url, Buffer.concat(written.map(toBuffer)), drafts.length, this.limits));
  }

  /** Sends a delivery with these lines in place of its `Content-Length`, and returns the answer's status. */
  async sendWithLengths(lines: (length: number) => HeaderLines): Promise<number | undefined> {
    const { url } = this.options;
    const delivery = this.delivery();
    const { body } = delivery;
    const written = [formatHead(url, delivery, [...lines(body.byteLength), ...CLOSE]), body].map(toBuffer);
    const [status] = await this.counted(sendRaw(url, Buffer.concat(written), 1, this.limits));
    return status;
  }

  /** Sends half of a delivery, then hangs up. */
  async sendHalf(draft: Draft, how: "end" | "reset"): Promise<void> {
    const { url } = this.options;
    const delivery = this.delivery(draft);
    const half = delivery.body.subarray(0, delivery.body.byteLength >> 1);
    const written = Buffer.concat([toBuffer(formatHead(url, delivery, lengthOf(delivery))), half]);
    await this.counted(sendAndHangUp(url, written, how, this.limits));
  }

  /** Sends good deliveries until one is accepted, for as long as a restart may take. */
  async checkHealth(): Promise<"well" | "recovered" | "dead"> {
    const until = performance.now() + RESTART_MS;
    this.deadline = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt === 0 || performance.now() < until; attempt++) {
      if (attempt > 0) await pause(100);
      try {
        if (isSuccess((await this.send()).status)) return attempt === 0 ? "well" : "recovered";
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
      }
    }
    return "dead";
  }

  private get limits(): Limits {
    const { timeout, signal } = this.options;
    return { milliseconds: Math.max(1, Math.min(timeout, this.deadline - performance.now())), signal };
  }

  private async counted<Result>(exchanged: Promise<Result>): Promise<Result> {
    try {
      const result = await exchanged;
      this.completed++;
      return result;
    } catch (error) {
      if (error instanceof NoAnswer && error.why === "late") this.timedOut++;
      throw error;
    }
  }
}

export function isSuccess(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

const STATUS_RANGES = {
  "200": (status: number) => status === 200,
  "413": (status: number) => status === 413,
  "4xx": (status: number) => status >= 400 && status < 500,
  "an answer below 500": (status: number) => status < 500,
  "any answer": () => true,
};

function lengthOf({ body }: Outgoing): HeaderLines {
  return [["Content-Length", String(body.byteLength)]];
}

function parseHandled(body: string): readonly string[] | undefined {
  try {
    const { handled } = Object(JSON.parse(body));
    // An app may have handled, and list, an event that came without an id.
    return Array.isArray(handled) ? handled.filter((id) => typeof id === "string") : undefined;
  } catch {
    return undefined;
  }
}

import { setTimeout as pause } from "node:timers/promises";
import { Unmet, Unproven } from "./check.js";
import {
  type Answer,
  converse,
  exchange,
  hangUp,
  head,
  type Limits,
  NoAnswer,
  type Outgoing,
} from "./exchange.js";
import type { HeaderLines, Provider, SentEvent, Signature } from "./providers.js";

/** In what a delivery differs from a good one. */
export interface Draft {
  /** Default: a new one of the main type. */
  readonly events?: readonly SentEvent[];
  /** The bytes that are sent. Default: the events. */
  readonly body?: string | Uint8Array;
  /** The bytes that are signed. Default: those that are sent. */
  readonly signs?: string | Uint8Array;
  /** Default: the first one. */
  readonly secret?: string;
  /** When it is signed, in milliseconds from now. Default 0. */
  readonly at?: number;
  /** In place of `at`: the time as it is written. */
  readonly time?: string;
  readonly version?: string;
  /** Which digests will do. Default: those that all write in one way, without zeros in front. */
  readonly digest?: RegExp;
  /** What is sent in place of what was signed. */
  readonly sends?: (signature: Signature) => Partial<Signature>;
  /** How that is written. Default: as the provider does. */
  readonly write?: (signature: Signature) => HeaderLines;
  /** In place of those of these names, or beside the others. */
  readonly headers?: HeaderLines;
  readonly method?: string;
  readonly path?: string;
  readonly chunked?: boolean;
  readonly pieces?: number;
  readonly pause?: number;
}

interface Delivery extends Outgoing {
  /** Of those of its events that a report route has to list. */
  readonly ids: readonly string[];
  /** The signatures that would have fitted, in the ways that they can be written, if they were not sent. */
  readonly fitting: readonly string[];
}

export interface SessionOptions {
  readonly url: URL;
  readonly provider: Provider;
  readonly secrets: readonly [string, ...string[]];
  readonly report: URL | undefined;
  /** For one exchange, in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/** An answer, and what was sent for it. */
export interface Answered {
  readonly answer: Answer;
  readonly fitting: readonly string[];
}

const DEFAULT_HEADERS: HeaderLines = [
  ["Content-Type", "application/json"],
  ["User-Agent", "crowdhook-audit"],
];
const CLOSE: HeaderLines = [["Connection", "close"]];
const EMPTY = Buffer.alloc(0);

/** At one millisecond each, these go back a few seconds. */
const TRIES_MAX = 5_000;
/** Larger bodies are not signed once more to know what their replies must not hold. */
const LOOKED_INTO_MAX = 100_000;
/** How long a process that died may take to be started again. */
const RESTART_MS = 2_000;
/** A check may take so many times what one exchange may. */
const EXCHANGES_MAX = 4;
const SHOWN_MAX = 200;

/** What checks work with: makes deliveries, sends them, and judges what comes back. */
export class Session {
  readonly answers: Answered[] = [];
  /** The events of all deliveries. */
  readonly sent = new Set<string>();
  /** The events of the deliveries that were refused, each with the check that sent it. */
  readonly refused = new Map<string, string>();
  /** How many requests were not answered in time. */
  late = 0;
  /** How many requests of this check were answered, or sent as far as they were to be. */
  answered = 0;
  /** Whether nothing answers any more. */
  isDown = false;
  /** The check after which nothing answered any more, for a while or for good. */
  downAfter: string | undefined;
  private check = "";
  /** When this check has to be over, as by `performance.now()`. */
  private deadline = Number.POSITIVE_INFINITY;
  private readonly confidential: Set<string>;

  constructor(readonly options: SessionOptions) {
    this.confidential = new Set(options.secrets);
  }

  get provider(): Provider {
    return this.options.provider;
  }

  event(fields?: Readonly<Record<string, unknown>>): SentEvent {
    return this.provider.event(fields);
  }

  begin(check: string): void {
    this.check = check;
    this.answered = 0;
    this.deadline = performance.now() + EXCHANGES_MAX * this.options.timeout;
  }

  /** A good delivery, but for what the draft says. */
  delivery(draft: Draft = {}): Delivery {
    const { provider, options } = this;
    const { events = [provider.event()] } = draft;
    const body = bytes(draft.body ?? provider.compose(events));
    const { signature, now } = this.signature(draft, draft.signs === undefined ? body : bytes(draft.signs));
    const sent = { ...signature, ...draft.sends?.(signature) };
    const lines = [
      ...DEFAULT_HEADERS,
      ...(events[0] ? provider.headers(events[0], now) : []),
      ...(draft.write ?? provider.write)(sent),
    ];
    const { headers = [] } = draft;
    const isReplaced = (name: string) =>
      headers.some(([other]) => other.toLowerCase() === name.toLowerCase());
    const isReported = ({ content }: SentEvent) => content[provider.typeField] === provider.mainType;
    const fitting =
      body.byteLength > LOOKED_INTO_MAX
        ? []
        : options.secrets
            .flatMap((secret) => provider.spellings(provider.sign(secret, sent, body)))
            .filter((digest) => !lines.some(([, value]) => value.includes(digest)));
    for (const digest of fitting) this.confidential.add(digest);
    const ids = events.filter(isReported).map(({ id }) => id);
    for (const id of ids) this.sent.add(id);
    return {
      method: draft.method ?? "POST",
      path: draft.path,
      headers: [...lines.filter(([name]) => !isReplaced(name)), ...headers],
      body,
      chunked: draft.chunked,
      pieces: draft.pieces,
      pause: draft.pause,
      ids,
      fitting,
    };
  }

  private signature(draft: Draft, signs: Uint8Array): { signature: Signature; now: number } {
    const { provider, secrets } = this.options;
    const { secret = secrets[0], version = "1", at = 0 } = draft;
    const wanted = draft.digest ?? (draft.time === undefined ? provider.plainDigest : /^/);
    const first = Date.now() + at;
    for (let now = first; now > first - TRIES_MAX; now--) {
      const time = draft.time ?? provider.time(now);
      const digest = provider.sign(secret, { time, version }, signs);
      if (wanted.test(digest)) return { signature: { time, version, digest }, now };
    }
    throw new Unproven(`no signature like ${wanted} was found`);
  }

  /** @throws NoAnswer */
  async send(draft: Draft | Delivery = {}): Promise<Answer> {
    const delivery = "fitting" in draft ? draft : this.delivery(draft);
    const answer = await this.counted(exchange(this.options.url, delivery, this.limits));
    this.answers.push({ answer, fitting: delivery.fitting });
    return answer;
  }

  /** Each is answered with 2xx and, as far as that can be seen, its events are handled. */
  async accepts(...drafts: readonly Draft[]): Promise<void> {
    for (const draft of drafts) {
      const delivery = this.delivery(draft);
      const answer = await this.send(delivery);
      if (!isSuccess(answer.status)) throw new Unmet("2xx", this.seen(answer));
      if (this.options.report) await this.handles(delivery.ids);
    }
  }

  /** None is answered with 2xx. */
  async refuses(...drafts: readonly Draft[]): Promise<void> {
    const ids: string[] = [];
    for (const draft of drafts) {
      const delivery = this.delivery(draft);
      const answer = await this.send(delivery);
      if (isSuccess(answer.status)) throw new Unmet("a refusal, not 2xx", this.seen(answer));
      ids.push(...delivery.ids);
    }
    for (const id of ids) this.refused.set(id, this.check);
  }

  /** Each has such an answer. */
  async answersWith(expected: keyof typeof RANGES, ...drafts: readonly Draft[]): Promise<void> {
    for (const draft of drafts) {
      const answer = await this.send(draft);
      if (!RANGES[expected](answer.status)) throw new Unmet(expected, this.seen(answer));
    }
  }

  /** All of them get to be handled. */
  async handles(ids: readonly string[]): Promise<void> {
    const until = performance.now() + this.limits.milliseconds;
    for (let wait = 5; ; wait = Math.min(2 * wait, 100)) {
      const handled = new Set(await this.handled());
      const missing = ids.filter((id) => !handled.has(id)).length;
      if (missing === 0) return;
      if (performance.now() > until) {
        throw new Unmet(
          "2xx, and all of its events handled",
          `2xx, but ${missing} of ${ids.length} are not at the report route after ${this.options.timeout / 1000} s`,
        );
      }
      await pause(wait);
    }
  }

  /** Each of them was handled once, when whatever was sent before is over. */
  async handledOnce(ids: readonly string[]): Promise<void> {
    // Sent later, so handled later, as far as an endpoint keeps any order at all.
    await this.accepts({});
    const handled = await this.handled();
    const times = ids.map((id) => handled.filter((other) => other === id).length);
    const isOnce = times.every((count) => count === 1);
    this.expects(isOnce, "handled once", times.map((count) => `handled ${count} times`).join(", "));
  }

  expects(isMet: boolean, expected: string, seen: string): void {
    if (!isMet) throw new Unmet(expected, seen);
  }

  /** What the report route lists. */
  async handled(): Promise<readonly string[]> {
    const { report } = this.options;
    if (report === undefined) throw new Unproven("there is no report route");
    const answer = await this.counted(
      exchange(report, { method: "GET", headers: [], body: EMPTY }, this.limits),
    );
    const handled = isSuccess(answer.status) ? handledIn(answer.body) : undefined;
    if (handled) return handled;
    throw new Unmet('{"handled": ["<event id>", …]} from the report route', this.seen(answer));
  }

  /** Writes deliveries on one connection, at once. Gives the statuses of their answers. */
  async pipelines(...drafts: readonly Draft[]): Promise<readonly number[]> {
    const { url } = this.options;
    const written = drafts.flatMap((draft, i) => {
      const delivery = this.delivery(draft);
      const isLast = i === drafts.length - 1;
      return [head(url, delivery, [...lengthOf(delivery), ...(isLast ? CLOSE : [])]), delivery.body];
    });
    return this.counted(converse(url, Buffer.concat(written.map(bytes)), drafts.length, this.limits));
  }

  /** Sends a delivery with these lines in place of its `Content-Length`, and gives the answer's status. */
  async sendsWith(lines: (length: number) => HeaderLines): Promise<number | undefined> {
    const { url } = this.options;
    const delivery = this.delivery();
    const { body } = delivery;
    const written = [head(url, delivery, [...lines(body.byteLength), ...CLOSE]), body].map(bytes);
    const [status] = await this.counted(converse(url, Buffer.concat(written), 1, this.limits));
    return status;
  }

  /** Sends half of a delivery, and hangs up. */
  async breaksOff(draft: Draft, how: "end" | "reset"): Promise<void> {
    const { url } = this.options;
    const delivery = this.delivery(draft);
    const half = delivery.body.subarray(0, delivery.body.byteLength >> 1);
    const written = Buffer.concat([bytes(head(url, delivery, lengthOf(delivery))), half]);
    await this.counted(hangUp(url, written, how, this.limits));
  }

  /** Whether good deliveries are accepted: at once, after a while, as after a restart, or not any more. */
  async health(): Promise<"well" | "recovered" | "dead"> {
    const until = performance.now() + RESTART_MS;
    this.deadline = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries === 0 || performance.now() < until; tries++) {
      if (tries > 0) await pause(100);
      try {
        if (isSuccess((await this.send()).status)) return tries === 0 ? "well" : "recovered";
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
      }
    }
    return "dead";
  }

  /** An answer in a line that gives nothing away. */
  seen({ status, body }: Answer): string {
    const shown = this.cleaned(body);
    return shown === "" ? String(status) : `${status}, ${shown}`;
  }

  /** The beginning of a text from elsewhere: harmless, and without what nobody must see. */
  cleaned(text: string): string {
    let clean = text;
    for (const hidden of this.confidential) clean = clean.replaceAll(hidden, "[not shown]");
    clean = clean.trim().replace(/\s+/g, " ").replace(/\p{C}/gu, "\uFFFD");
    return clean.length > SHOWN_MAX ? `${clean.slice(0, SHOWN_MAX)}…` : clean;
  }

  private get limits(): Limits {
    const { timeout, signal } = this.options;
    return { milliseconds: Math.max(1, Math.min(timeout, this.deadline - performance.now())), signal };
  }

  private async counted<Result>(exchanged: Promise<Result>): Promise<Result> {
    try {
      const result = await exchanged;
      this.answered++;
      return result;
    } catch (error) {
      if (error instanceof NoAnswer && error.why === "late") this.late++;
      throw error;
    }
  }
}

export function isSuccess(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

const RANGES = {
  "200": (status: number) => status === 200,
  "413": (status: number) => status === 413,
  "4xx": (status: number) => status >= 400 && status < 500,
  "an answer below 500": (status: number) => status < 500,
  "any answer": () => true,
};

function bytes(content: string | Uint8Array): Buffer {
  return typeof content === "string"
    ? Buffer.from(content)
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
}

function lengthOf({ body }: Outgoing): HeaderLines {
  return [["Content-Length", String(body.byteLength)]];
}

function handledIn(body: string): readonly string[] | undefined {
  try {
    const { handled } = Object(JSON.parse(body));
    // An event that came without an id may have been handled, and be listed.
    return Array.isArray(handled) ? handled.filter((id) => typeof id === "string") : undefined;
  } catch {
    return undefined;
  }
}

import type { EventRecord, Outcome } from "@crowdhook/core";
import { escapeControls } from "@crowdhook/core/internal";
import type { ProviderName } from "../provider.js";
import { TITLES } from "../provider.js";
import { iso, type Window } from "./options.js";

/** An event that the platform's API lists, or that follows from what it lists. */
export interface ListedEvent {
  readonly id: string;
  readonly type: string;
  /** The id of the assignment, pool, study or submission that the event is about. */
  readonly subject: string;
  readonly occurredAt: Date;
}

/** An event that was not recovered, and why. */
export interface UnrecoveredEvent extends ListedEvent {
  readonly reason: string;
}

/** The result of a recovery, with the number of events for each outcome. `String(result)` is readable text. */
export interface RecoveryResult extends Readonly<Record<Outcome, number>> {
  /**
   * Finished: the receiver has taken all events that were found. Busy: another process recovers now, so
   * this one did nothing. Stopped: the claim store or the sink failed for a whole batch.
   */
  readonly status: "finished" | "busy" | "stopped";
  readonly dryRun: boolean;
  readonly since: Date;
  readonly until: Date;
  /** The number of events found. In a dry run, `events` lists them. */
  readonly found: number;
  readonly events: readonly ListedEvent[];
  /** Events that cannot be recovered, because the platform does not keep what they held. */
  readonly lost: readonly UnrecoveredEvent[];
  /** Events that were not run, because a delivery may have brought them. Look at each of them. */
  readonly uncertain: readonly UnrecoveredEvent[];
  /** The number of events that were left to the platform, which is still trying to deliver them. */
  readonly pending: number;
  /** Up to this time all events are known. The next recovery begins two minutes before it. */
  readonly checkpoint: Date | undefined;
  /** Facts about this recovery that an operator should read. */
  readonly notes: readonly string[];
  toString(): string;
}

/** The outcomes after which an event is still to be recovered. */
const UNDONE: ReadonlySet<Outcome> = new Set([
  "failed",
  "busy",
  "claim_failed",
  "settle_failed",
  "sink_failed",
]);

/** Collects what a recovery finds and does. */
export class Report {
  readonly lost: UnrecoveredEvent[] = [];
  readonly uncertain: UnrecoveredEvent[] = [];
  readonly notes: string[] = [];
  readonly events: ListedEvent[] = [];
  found = 0;
  dispatched = 0;
  pending = 0;
  readonly #counts: Record<Outcome, number> = {
    handled: 0,
    ignored: 0,
    duplicate: 0,
    unrecognized: 0,
    failed: 0,
    busy: 0,
    claim_failed: 0,
    settle_failed: 0,
    sink_failed: 0,
  };
  #firstUndone = Number.POSITIVE_INFINITY;

  constructor(
    readonly provider: ProviderName,
    readonly window: Window,
    readonly dryRun: boolean,
  ) {
    if (window.note) this.note(window.note);
  }

  /** Adds a note, unless it is there already. */
  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /** Counts events before they are dispatched. */
  find(events: readonly ListedEvent[]): void {
    this.found += events.length;
    if (this.dryRun) this.events.push(...events);
  }

  /** Counts an event that a delivery is known to have brought. */
  knows(event: ListedEvent): void {
    this.find([event]);
    this.#counts.duplicate++;
  }

  /** Counts the outcomes of dispatched events. `records` has the order of `events`. */
  count(events: readonly ListedEvent[], records: readonly Pick<EventRecord, "outcome">[]): void {
    this.dispatched += events.length;
    for (const [index, { outcome }] of records.entries()) {
      this.#counts[outcome]++;
      if (UNDONE.has(outcome)) this.#holdAt(Number(events[index]?.occurredAt));
    }
  }

  /** Leaves an event to the platform. The next recovery looks at it again. */
  leave({ occurredAt }: ListedEvent): void {
    this.pending++;
    this.#holdAt(Number(occurredAt));
  }

  #holdAt(time: number): void {
    this.#firstUndone = Math.min(this.#firstUndone, time);
  }

  /** Returns the time up to which all events are known; `undefined` if this recovery cannot tell. */
  checkpoint(): number | undefined {
    const { continues, since, until } = this.window;
    const known = Math.min(until, this.#firstUndone);
    return continues && !this.dryRun && known > since ? known : undefined;
  }

  result(status: RecoveryResult["status"], checkpoint?: number): RecoveryResult {
    return new Result(this.provider, {
      ...this.#counts,
      status,
      dryRun: this.dryRun,
      since: new Date(this.window.since),
      until: new Date(this.window.until),
      found: this.found,
      events: this.events,
      lost: this.lost,
      uncertain: this.uncertain,
      pending: this.pending,
      checkpoint: checkpoint === undefined ? undefined : new Date(checkpoint),
      notes: this.notes,
    }) as unknown as RecoveryResult;
  }
}

type Fields = Omit<RecoveryResult, "toString">;

/** A class with a private field, so that `console.log` of a result shows its fields and nothing else. */
class Result {
  readonly #format: () => string;

  constructor(provider: ProviderName, fields: Fields) {
    Object.assign(this, fields);
    this.#format = () => format(TITLES[provider], fields);
  }

  toString(): string {
    return this.#format();
  }
}

function format(title: string, result: Fields): string {
  const { status, dryRun, since, until, found, events, lost, uncertain, pending, notes } = result;
  if (status === "busy") return `${title}: another process recovers events now. This one did nothing.`;
  const counts = [...UNDONE, "handled", "ignored", "duplicate", "unrecognized"]
    .map((outcome) => [outcome.replace("_", " "), result[outcome as Outcome]] as const)
    .filter(([, count]) => count > 0)
    .map(([outcome, count]) => `${count} ${outcome}`);
  const all = [
    `${found} found`,
    ...(dryRun ? ["dry run, nothing was done"] : counts),
    ...(uncertain.length > 0 ? [`${uncertain.length} uncertain`] : []),
    ...(lost.length > 0 ? [`${lost.length} lost`] : []),
    ...(pending > 0 ? [`${pending} left to ${title}`] : []),
  ];
  const line = ({ type, subject, occurredAt, id }: ListedEvent) =>
    `${iso(Number(occurredAt))} ${type} ${subject} (${id})`;
  const lines = [
    `${title}, ${iso(Number(since))} to ${iso(Number(until))}: ${all.join(", ")}`,
    ...(status === "stopped" ? ["! The claim store or the sink failed. Recover again when it is back."] : []),
    ...events.map((event) => `+ ${line(event)}`),
    ...uncertain.map((event) => `? ${line(event)}: ${event.reason}`),
    ...lost.map((event) => `! ${line(event)}: ${event.reason}`),
    ...notes.map((note) => `! ${note}`),
  ];
  return lines.map(escapeControls).join("\n");
}

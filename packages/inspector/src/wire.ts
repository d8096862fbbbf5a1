/** The JSON between the server and the page. It holds no secret. */

/** `unverified`: the receiver has no secret. `failed`: genuine, but the reply is an error. */
export type Verdict = "genuine" | "unverified" | "refused" | "failed";

/** A delivery in the list. */
export interface Row {
  readonly id: number;
  /** Unix time in milliseconds. */
  readonly receivedAt: number;
  readonly provider: string | undefined;
  /** The first event types. */
  readonly types: readonly string[];
  readonly events: number;
  readonly verdict: Verdict;
  /** The verdict in words. */
  readonly words: string;
  readonly reason: string | undefined;
  readonly status: number | undefined;
  /** In milliseconds. */
  readonly duration: number | undefined;
  /** The delivery that was sent again. */
  readonly replayOf: number | undefined;
}

/** A message of the stream. */
export interface Batch {
  /** New rows, and rows that changed. */
  readonly rows: readonly Row[];
  /** Rows with a smaller id are no longer kept. */
  readonly oldest: number;
}

export interface HeaderLine {
  readonly name: string;
  readonly value: string;
  readonly isHidden: boolean;
}

/** A run of received bytes, and the bytes that fit in its place. */
export interface ByteRange {
  readonly at: number;
  readonly length: number;
  readonly fittingAt: number;
  readonly fittingLength: number;
}

export interface SignatureDetail {
  readonly code: string | undefined;
  readonly reason: string | undefined;
  /** The position of the secret that fits, counted from 1. */
  readonly secret: number | undefined;
  readonly secrets: number;
  /** Seconds between the signing and the arrival. */
  readonly age: number | undefined;
  readonly mismatch:
    | { readonly name: string; readonly about: string; readonly differences: readonly ByteRange[] }
    | undefined;
}

export interface EventDetail {
  readonly type: string;
  readonly id: string;
  readonly subject: string | undefined;
  readonly occurredAt: number | undefined;
  readonly outcome: string | undefined;
  readonly error: string | undefined;
  readonly problems: readonly string[] | undefined;
}

export interface AnswerDetail {
  readonly status: number;
  readonly headers: readonly HeaderLine[];
  readonly body: string;
}

export interface Detail {
  readonly row: Row;
  readonly method: string;
  readonly path: string | undefined;
  readonly headers: readonly HeaderLine[];
  /** `undefined` if the body was not read. */
  readonly bytes: number | undefined;
  /** Whether a secret in the body was replaced. */
  readonly isBodyHidden: boolean;
  readonly signature: SignatureDetail | undefined;
  readonly reply: AnswerDetail | undefined;
  readonly forwarded:
    | { readonly url: string; readonly answer?: AnswerDetail; readonly failure?: string }
    | undefined;
  readonly can: { readonly replay: boolean; readonly sign: boolean; readonly sendAsNew: boolean };
}

export interface EventPage {
  readonly total: number;
  readonly from: number;
  readonly events: readonly EventDetail[];
}

export interface StructuralChange {
  readonly path: string;
  readonly a: string | undefined;
  readonly b: string | undefined;
}

export interface Comparison {
  readonly changes: readonly StructuralChange[];
  /** Whether both bodies are JSON. */
  readonly isJson: boolean;
  readonly differences: readonly ByteRange[];
}

export interface TimelineEntry extends EventDetail {
  readonly delivery: number;
  readonly receivedAt: number;
  /** The event came before. */
  readonly isDuplicate: boolean;
  /** A later event of the subject and type came before it. */
  readonly isStale: boolean;
}

interface SourceState {
  readonly provider: string;
  readonly title: string;
  readonly types: readonly string[];
  readonly defaultType: string;
  readonly canSign: boolean;
}

export interface State {
  readonly sources: readonly SourceState[];
  readonly sinks: number;
}

interface DeadLetter {
  readonly id: string;
  readonly provider: string;
  readonly type: string;
  readonly error: string;
  readonly attempts: number;
  readonly failedAt: number;
}

export interface DeadLetters {
  readonly failed: readonly DeadLetter[];
  /** Whether more events match than these. */
  readonly hasMore: boolean;
  /** `undefined` if the sink does not block keys. */
  readonly blockedKeys: readonly string[] | undefined;
}

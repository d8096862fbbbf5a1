import type { DeliveryHeaders } from "./delivery.js";
import type { EventMap, EventType, ReceivedEvent } from "./event.js";

/** A delivery's signature, as its headers state it. Nothing of it is proved yet. */
export interface SignatureParts {
  /** The text that is signed in front of the raw body. ASCII. */
  readonly prefix: string;
  /** HMAC-SHA256 in lower-case hex, 64 digits. */
  readonly digest: string;
  /** When the delivery was signed: Unix time in milliseconds. */
  readonly timestamp: number;
}

/** The provider's signature headers, described for messages to the operator and for tools. */
export interface SignatureFormat {
  /** The headers' names, the one with the digest first. */
  readonly headers: readonly [string, ...string[]];
  /** A question or an instruction for whoever gets deliveries without these headers. */
  readonly whenMissing: string;
  /** The header with the digest, as an example. */
  readonly example: string;
  /** Matches a header with a whole digest; a shorter one was probably cut off. */
  readonly complete: RegExp;
  /** The time of signing: its name in messages, its header, and a pattern whose first group is its digits. */
  readonly timestamp: {
    readonly name: string;
    readonly header: string;
    readonly pattern: RegExp;
    readonly unit: "seconds" | "milliseconds";
  };
  /** The signed parts in their order, such as "the time and the body". */
  readonly signs: string;
}

/**
 * A platform's dialect: how it signs, and how its body is read. A provider holds no state. It touches
 * neither a secret, nor a store, nor a clock: the receiver does.
 */
export interface Provider<Events extends EventMap = EventMap> {
  /** Lower case. Part of every claim's key, so it must never change. */
  readonly name: string;
  /** The name in sentences, such as `"Toloka"`. */
  readonly title: string;
  /** The path where adapters mount the webhook by default. */
  readonly defaultPath: string;
  /** The environment variable that the command line and messages name for the secret. */
  readonly secretVariable: string;
  /** The types that listeners can be registered for. */
  readonly eventTypes: readonly EventType<Events>[];
  /** Whether a delivery carries one event or a list of events. */
  readonly eventsPerDelivery: "one" | "many";
  /**
   * Whether the signature covers the event's id. If it does not, an attacker can send a captured
   * request again under another id, so the receiver ties each signature to the id that it came with first.
   */
  readonly signsEventIds: boolean;
  readonly signatureFormat: SignatureFormat;
  /** Returns whether the headers are this provider's, readable or not. */
  matches(headers: DeliveryHeaders): boolean;
  /** Reads the signature headers. Must not throw, whatever the headers hold. */
  parseSignature(headers: DeliveryHeaders): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED";
  /** Returns the events in a parsed and verified body; `undefined` if the body is not an envelope. */
  parseEvents(body: unknown, headers: DeliveryHeaders): readonly ReceivedEvent<Events>[] | undefined;
  /**
   * Returns what an event is about, such as an assignment or a study; `undefined` if it does not say.
   * Of two events of one type and subject, the one that occurred later makes the other one stale.
   */
  subjectOf(event: ReceivedEvent<Events>): string | undefined;
}

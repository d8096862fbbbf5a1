import type { DeliveryHeaders } from "./delivery.js";
import type { EventMap, EventType, ParsedEvent, ReceivedEvent } from "./event.js";

/** The signature that a delivery's headers state. The receiver verifies it later. */
export interface SignatureParts {
  /** The signed text in front of the raw body, in ASCII. */
  readonly prefix: string;
  /** HMAC-SHA256 in lower-case hex, 64 digits. */
  readonly digest: string;
  /** When the delivery was signed: Unix time in milliseconds. */
  readonly timestamp: number;
}

/** Describes the provider's signature headers for messages to the operator and for tools. */
export interface SignatureFormat {
  /** The names of the headers. The first one is the header with the digest. */
  readonly headers: readonly [string, ...string[]];
  /** The fix if the headers are missing: an instruction or a question, without a capital letter and full stop. */
  readonly whenMissing: string;
  /** Completes the message "A complete header is …", with an example or a description. */
  readonly example: string;
  /** Matches a header with a whole digest. A header that it does not match was probably cut off. */
  readonly complete: RegExp;
  /** The time of signing: its name in messages, its header, and a pattern that captures its digits. */
  readonly timestamp: {
    readonly name: string;
    readonly header: string;
    readonly pattern: RegExp;
    readonly unit: "seconds" | "milliseconds";
  };
  /** The signed parts in order, such as "the time and the body". */
  readonly signs: string;
}

/**
 * Describes how a platform signs deliveries and writes events. A provider has no state. It never sees a
 * secret, a store or a clock: only the receiver uses those.
 */
export interface Provider<Events extends EventMap = EventMap> {
  /**
   * Lower case. Part of the claim keys in shared stores and of queue names. Never change it: handled
   * events would run again, and workers would not find queued events.
   */
  readonly name: string;
  /** The name in sentences, such as `"Toloka"`. */
  readonly title: string;
  /** The path at which adapters mount the webhook by default. */
  readonly defaultPath: string;
  /** The environment variable from which the command line reads the secret. */
  readonly secretVariable: string;
  /** The event types that `on` accepts. */
  readonly eventTypes: readonly EventType<Events>[];
  /** Whether a delivery carries one event or a list of events. */
  readonly eventsPerDelivery: "one" | "many";
  /**
   * Whether the signature covers the event's id. If not, an attacker can resend a captured request
   * under another id. To prevent that, the receiver accepts each signature only with its first id.
   */
  readonly signsEventIds: boolean;
  readonly signatureFormat: SignatureFormat;
  /** Returns whether the request has a header of this provider, valid or not. */
  matches(headers: DeliveryHeaders): boolean;
  /** Parses the signature headers. Must not throw, whatever the headers hold. */
  parseSignature(headers: DeliveryHeaders): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED";
  /**
   * Returns how many events a parsed body holds, without looking at any of them: it may hold millions, and
   * the receiver refuses a delivery with more than `maxEvents` before it calls `parseEvents`. Must not
   * throw, whatever the body is. Default: the length of the longest list that the body is or has as a field.
   */
  countEvents?(body: unknown): number;
  /**
   * Returns the events in a parsed body; `undefined` if the body is not an envelope. Must not throw: the
   * receiver calls it after verification, but `inspect` also calls it for deliveries that are not verified.
   */
  parseEvents(body: unknown, headers: DeliveryHeaders): readonly ParsedEvent<Events>[] | undefined;
  /**
   * Returns a text that identifies what the event is about, such as an assignment or a study; `undefined`
   * if the event names nothing. The default ordering key. With `detectStale`, an event is stale if a later event
   * of the same type and subject was handled before.
   */
  subjectOf(event: ReceivedEvent<Events>): string | undefined;
  /**
   * Returns a text that identifies the fact that an event reports, such as "this assignment was accepted",
   * or `undefined` if the type can report the same fact twice. A `recoverable` receiver claims an event by
   * it, because an event that was derived from the platform's API has no id of the platform's.
   */
  occurrenceOf?(event: ReceivedEvent<Events>): string | undefined;
}

import type { DeliveryHeaders } from "./delivery.js";
import type { EventMap, EventType, ParsedEvent, ReceivedEvent } from "./event.js";
import type { ProviderDefinition } from "./providers/defining/definition.js";
import type { HmacFormat, SignatureFormat, SignatureParts } from "./providers/signature-format.js";

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
  /**
   * Whether the signature covers the event's type. If not, an attacker can resend a captured request with
   * another type. To prevent that, the receiver accepts each event only with its first type. Default true.
   */
  readonly signsEventTypes?: boolean;
  readonly signatureFormat: SignatureFormat;
  /** Default: HMAC-SHA256 with the UTF-8 bytes of the secret as the key. */
  readonly hmac?: HmacFormat;
  /** The data of `defineProvider`, from which tools sign samples and print contracts. */
  readonly definition?: ProviderDefinition<Events>;
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
   *
   * @param receivedAt When the receiver got the delivery: Unix time in milliseconds. It stands for the time
   *   of the events if the provider sends none.
   */
  parseEvents(
    body: unknown,
    headers: DeliveryHeaders,
    receivedAt: number,
  ): readonly ParsedEvent<Events>[] | undefined;
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

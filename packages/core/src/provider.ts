import type { DeliveryHeaders } from "./delivery.js";
import type { EventMap, EventType, ReceivedEvent } from "./event.js";

/** What a delivery's headers say about its signature. Nothing of it is proved yet. */
export interface SignatureParts {
  /** The text that is signed in front of the raw body. ASCII. */
  readonly prefix: string;
  /** HMAC-SHA256 in lower-case hex, 64 digits. */
  readonly digest: string;
  /** When the delivery was signed: Unix time in milliseconds. */
  readonly timestamp: number;
}

/**
 * A platform's dialect: how it signs, how its body is read. It holds no state and touches neither a
 * secret, nor a store, nor a clock; the receiver does.
 */
export interface Provider<Events extends EventMap = EventMap> {
  /** Lower case; part of every claim's key. */
  readonly name: string;
  /** Where adapters mount it unless told otherwise. */
  readonly defaultPath: string;
  /** The types that listeners can be registered for. */
  readonly eventTypes: readonly EventType<Events>[];
  /**
   * Whether an event's id is part of what is signed. Where it is not, a request can be captured and
   * sent again under another id, so the receiver ties each signature to the id that it came with first.
   */
  readonly signsEventIds: boolean;
  parseSignature(headers: DeliveryHeaders): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED";
  /** The events in a body that is parsed and verified; `undefined` if it is not an envelope. */
  parseEvents(body: unknown, headers: DeliveryHeaders): readonly ReceivedEvent<Events>[] | undefined;
  /**
   * What an event is about, such as an assignment or a study; `undefined` if it does not say. Of two
   * events of one type and subject, the one that occurred later makes the other one stale.
   */
  subjectOf(event: ReceivedEvent<Events>): string | undefined;
}

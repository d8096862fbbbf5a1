/** A provider's event types, each with the shape of its data. */
// biome-ignore lint/suspicious/noExplicitAny: interfaces have no index signature, so `object` would refuse them
export type EventMap = Record<string, any>;

/** The name of one of the event types in `Events`. */
export type EventType<Events extends EventMap> = keyof Events & string;

/**
 * An event whose type this release knows and whose data fits the type. A union discriminated by `type`.
 */
export type WebhookEvent<
  Events extends EventMap = EventMap,
  Type extends EventType<Events> = EventType<Events>,
> = {
  [T in Type]: {
    /** The provider's name, such as `"toloka"`. */
    readonly provider: string;
    readonly type: T;
    /** The provider's id of the event, the same in every delivery of it. */
    readonly id: string;
    /** When the event happened, by the provider's clock. The provider may deliver it much later. */
    readonly occurredAt: Date;
    /** The provider's object with the provider's own field names. Unknown fields are kept. */
    readonly data: Events[T];
    /** Never set. Distinguishes this event from an {@link UnrecognizedEvent}. */
    readonly problems?: undefined;
  } & Recoverable;
}[Type];

/** The fields that only a `recoverable` receiver sets. */
interface Recoverable {
  /** The fact that the event reports. Events with the same text are duplicates, whatever their ids. */
  readonly occurrence?: string | undefined;
  /** True if the event was recovered from the platform's API. A webhook never brought it. */
  readonly recovered?: boolean | undefined;
}

/**
 * The type of an unrecognized event: any string. The compiler takes it for one that ends with NUL, which no
 * known type does. So `event.type === "POOL_CLOSED"` rules an unrecognized event out.
 */
export type UnrecognizedType = `${string}\u0000`;

/**
 * An event of a type that this release does not know, or an event that fails validation: its data does
 * not fit its type, or its id or time is missing. Nothing vouches for the shape of its `data`.
 */
export interface UnrecognizedEvent extends Recoverable {
  readonly provider: string;
  /** Empty if the provider sent no type, or one that is not a string. */
  readonly type: UnrecognizedType;
  /**
   * Empty if the provider sent no id, or one that is not a string or is longer than 255 characters. If
   * the provider does not sign ids (Prolific), the receiver claims such an event by its signature.
   * Otherwise nothing claims it, and a duplicate of it runs again.
   */
  readonly id: string;
  /** `undefined` if the provider sent no readable time. */
  readonly occurredAt: Date | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  /**
   * The problems that validation found, such as `close_reason: expected string`. Empty for an unknown
   * type. The providers of this package list at most 10, each of at most 255 characters.
   */
  readonly problems: readonly string[];
}

/** An event as listeners for all types get it: valid or unrecognized. */
export type ReceivedEvent<Events extends EventMap = EventMap> = WebhookEvent<Events> | UnrecognizedEvent;

/** An event as a provider's `parseEvents` returns it. */
export type ParsedEvent<Events extends EventMap = EventMap> =
  | WebhookEvent<Events>
  | (Omit<UnrecognizedEvent, "type"> & { readonly type: string });

/**
 * Returns an event's data with all its fields, those that this release does not know included. The type
 * of `event.data` has only the documented fields, so that a misspelt one does not compile.
 */
export function rawData({ data }: { readonly data: unknown }): Readonly<Record<string, unknown>> {
  return data as Readonly<Record<string, unknown>>;
}

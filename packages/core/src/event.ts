/** A provider's event types, each with the shape of its data. */
// biome-ignore lint/suspicious/noExplicitAny: interfaces have no index signature, so `object` would refuse them
export type EventMap = Record<string, any>;

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
    /** When the event happened, by the provider's clock; not when it was delivered. */
    readonly occurredAt: Date;
    /** The provider's object with the provider's own field names. Unknown fields are kept. */
    readonly data: Events[T];
    /** Never set here. Tells the event from an {@link UnrecognizedEvent}. */
    readonly problems?: undefined;
  };
}[Type];

/**
 * An event whose type is new, or whose data does not fit its type. The data is as it was sent, unchecked.
 */
export interface UnrecognizedEvent {
  readonly provider: string;
  /** Empty if the provider sent none. */
  readonly type: string;
  /** Empty if the provider sent none. Such an event cannot be claimed, so a duplicate of it runs again. */
  readonly id: string;
  /** `undefined` if the provider sent no time that can be read. */
  readonly occurredAt: Date | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  /** The misfits, such as `close_reason: expected string`. Empty if the type is new. */
  readonly problems: readonly string[];
}

export type ReceivedEvent<Events extends EventMap = EventMap> = WebhookEvent<Events> | UnrecognizedEvent;

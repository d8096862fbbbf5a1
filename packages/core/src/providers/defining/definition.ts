import type { DeliveryHeaders } from "../../delivery.js";
import type { EventMap, EventType, ReceivedEvent } from "../../event.js";
import type { HmacFormat, SignatureFormat, SignatureParts } from "../signature-format.js";
import type { StandardSchema } from "../standard-schema.js";

/** The name of a header; a list if the provider's software sends the same headers under several names. */
export type HeaderName = string | readonly [string, ...string[]];

/** The unit of a number that counts from the start of 1970. */
export type TimeUnit = "seconds" | "milliseconds";

/** A platform's dialect as data: how it signs, where an event's parts are, and which events there are. */
export interface ProviderDefinition<Events extends EventMap = EventMap> {
  /** Lower-case letters, digits and hyphens. Part of claim keys and queue names, so never change it. */
  readonly name: string;
  /** The name in sentences. Default: `name` with a capital letter. */
  readonly title?: string;
  /** The path at which adapters mount the webhook by default. Default: `/<name>-webhook`. */
  readonly defaultPath?: string;
  /** The environment variable from which the command line reads the secret. Default: `<NAME>_SECRET`. */
  readonly secretVariable?: string;
  readonly signature: SignatureDefinition | CustomSignature;
  readonly envelope: EnvelopeDefinition;
  /**
   * One schema per event type. Schemas only validate: listeners get the JSON as the provider sent it, with
   * fields that the schema does not know, and without the schema's defaults and conversions. A schema that
   * validates asynchronously fits no event.
   */
  readonly events: { readonly [Type in EventType<Events>]: StandardSchema<Events[Type]> };
  /** Default: none, so the provider's events cannot be recovered. See `Provider.occurrenceOf`. */
  readonly occurrenceOf?: (event: ReceivedEvent<Events>) => string | undefined;
}

/** A signature that is an HMAC over a text and the raw body. */
export interface SignatureDefinition {
  /** The header with the signature. */
  readonly header: HeaderName;
  /** Default `"sha256"`. SHA-1 is for platforms that have nothing better. */
  readonly algorithm?: HmacFormat["algorithm"];
  readonly encoding: "hex" | "base64";
  /** The text in front of the digest, such as `sha256=` or `v1,`. Default: none. */
  readonly prefix?: string;
  /**
   * The text between several signatures in the header. One of them must fit; entries without `prefix` are
   * ignored. At most 20 entries in 4,096 characters. Default: the header is one signature.
   */
  readonly separator?: string;
  /** The signed text, such as `"{id}.{timestamp}.{body}"`. `{body}` stands for the raw bytes. */
  readonly signs: string;
  /** The time of signing. Required if `signs` has `{timestamp}`. */
  readonly timestamp?: {
    /** Either the header with the time, */
    readonly header?: HeaderName;
    /** or the text in front of it in an entry of the signature's own header, such as `t=`. */
    readonly prefix?: string;
    readonly unit: TimeUnit;
  };
  /** The delivery's id. Required if `signs` has `{id}`. */
  readonly id?: { readonly header: HeaderName };
  /** How the secret encodes the key. Default: the key is the UTF-8 bytes of the secret. */
  readonly secret?: {
    readonly encoding: "hex" | "base64";
    /** Removed from the front of a secret that has it, such as `whsec_`. */
    readonly prefix?: string;
  };
}

/** A signature that data cannot describe. */
export interface CustomSignature {
  readonly format: SignatureFormat;
  /** Becomes `Provider.parseSignature`, and has the same contract. */
  parse(headers: DeliveryHeaders): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED";
  /** Default: HMAC-SHA256 with the UTF-8 bytes of the secret as the key. */
  readonly hmac?: HmacFormat;
}

/** A place in an event's object, with dots between the names of nested fields, such as `"task.id"`. */
export type FieldPath = string;

/** Where the parts of an event are. */
export interface EnvelopeDefinition {
  /**
   * The field of the body that holds the list of events, or a function that returns the list, and
   * `undefined` for a body that is no envelope. Default: the body is one event. With `optional`, a body
   * without the field is one event, too. Contracts cannot describe a function.
   */
  readonly events?:
    | FieldPath
    | { readonly field: FieldPath; readonly optional: true }
    | ((body: Readonly<Record<string, unknown>>) => readonly unknown[] | undefined);
  readonly type: FieldPath | { readonly header: string };
  /**
   * The event's id, the same in every delivery of the event: a field, a header, or the signature itself for
   * a provider that sends none. Two deliveries with the same signature then are one event.
   */
  readonly id: FieldPath | { readonly header: HeaderName } | { readonly from: "signature" };
  /**
   * When the event happened, or was sent if the provider tells nothing better. ISO 8601 without an offset
   * is UTC. Default: when the receiver got the delivery. The default also stands for the time of signing in
   * deliveries without a signature, which an unsigned receiver accepts.
   */
  readonly time?:
    | { readonly field: FieldPath; readonly format: "iso8601" | TimeUnit }
    | { readonly header: HeaderName; readonly format: "iso8601" | TimeUnit }
    | { readonly from: "signature" };
  /**
   * Identifies what the event is about: a field of `data`, several fields of which the first one that is
   * present counts, or a function. Default: none, and events without a subject are in no order.
   */
  readonly subject?: FieldPath | readonly FieldPath[] | ((event: ReceivedEvent) => string | undefined);
  /** The field that becomes `event.data`. Default: the whole object of the event. */
  readonly data?: FieldPath;
}

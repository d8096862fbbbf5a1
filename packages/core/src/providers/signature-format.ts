/** The signature that a delivery's headers state. The receiver verifies it later. */
export interface SignatureParts {
  /** The signed text in front of the raw body, in ASCII. */
  readonly prefix: string;
  /** The signed text after the raw body, in ASCII. Default: none. */
  readonly suffix?: string | undefined;
  /**
   * The HMAC in lower-case hex: 64 digits for SHA-256, 40 for SHA-1. A list if the header has several
   * signatures, of which one must fit. Only a provider that signs its event ids may return a list.
   */
  readonly digest: string | readonly string[];
  /** When the delivery was signed: Unix time in milliseconds. `undefined` if the provider signs no time. */
  readonly timestamp: number | undefined;
}

/** A signature without its time: the signed text around the body, and the digests of which one must fit. */
export type SignedText = Omit<SignatureParts, "timestamp">;

/** How a provider computes its HMACs. */
export interface HmacFormat {
  readonly algorithm: "sha256" | "sha1";
  /**
   * Returns the key in a secret, or `undefined` for a secret that holds none. Must not throw. Default: the
   * UTF-8 bytes of the secret.
   */
  keyOf?(secret: string): Uint8Array | undefined;
  /** Completes the message "A secret of this provider is …". Required with `keyOf`. */
  readonly secretIs?: string;
}

/** Describes the provider's signature headers for messages to the operator and for tools. */
export interface SignatureFormat {
  /** The names of the headers. The first one is the header with the digest. */
  readonly headers: readonly [string, ...string[]];
  /** Other names under which the provider's software sends the same headers, each list in the same order. */
  readonly aliases?: readonly (readonly [string, ...string[]])[];
  /** The fix if the headers are missing: an instruction or a question, without a capital letter and full stop. */
  readonly whenMissing: string;
  /** Completes the message "A complete header is …", with an example or a description. */
  readonly example: string;
  /** Matches a header with a whole digest. A header that it does not match was probably cut off. */
  readonly complete: RegExp;
  /**
   * The time of signing: its name in messages, its header, and a pattern that captures its digits.
   * `undefined` if the provider signs no time. A captured request can then be replayed at any time, so the
   * receiver remembers the provider's events for seven days.
   */
  readonly timestamp?: {
    readonly name: string;
    readonly header: string;
    readonly pattern: RegExp;
    readonly unit: "seconds" | "milliseconds";
  };
  /** The signed parts in order, such as "the time and the body". */
  readonly signs: string;
}

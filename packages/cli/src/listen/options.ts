import type { Provider } from "@crowdhook/core";
import type { SecretOptions } from "../secrets.js";

export interface ListenOptions extends SecretOptions {
  readonly port: number;
  readonly host: string;
  readonly provider?: string;
  readonly forward?: string;
  readonly save?: string;
  /** The port of the page; `true` for a free one. */
  readonly ui?: number | true;
  readonly tolerance: number;
  readonly timeout: number;
  /** Shows only deliveries with an event of one of these types. */
  readonly event?: readonly string[];
  /** Shows only deliveries with one of these answers: `401`, `4xx`. */
  readonly status?: readonly string[];
  /** Shows payloads of any length. */
  readonly full?: boolean;
  readonly json?: boolean;
}

/** The secrets of every provider; an empty list for a provider without one. */
export type Secrets = ReadonlyMap<Provider, readonly string[]>;

import type { EventMap, ReceivedEvent, SecretSource } from "@crowdhook/core";
import type { WebhookOptions } from "@crowdhook/core/adapter";
import { type Sender, signDelivery } from "@crowdhook/core/testing";
import { vi } from "vitest";
import { secretsOf } from "./defined-providers.js";
import { type Outgoing, request } from "./request.js";
import type { SERVE } from "./serve-provider.js";

interface Signing {
  readonly secret: string;
  readonly events: Parameters<typeof signDelivery>[1]["events"];
  readonly timestamp: number;
  /** Default: the body of the events. */
  readonly body: string;
}

/** Returns functions that serve a sender's provider on an adapter, and sign its deliveries. */
export function providerOn(sender: Sender, serve: (typeof SERVE)[number][1]) {
  const { provider } = sender;
  const [secret, otherSecret] = secretsOf(sender);

  function signed({ body, ...options }: Partial<Signing> = {}): Outgoing & { body: string } {
    const composed = body === undefined ? sender : { ...sender, composeBody: () => body };
    const events = [sender.sample(sender.defaultType)];
    return { path: provider.defaultPath, ...signDelivery(composed, { secret, events, ...options }) };
  }

  /** @param from Where the receiver takes the secret from. */
  async function start(options: WebhookOptions<EventMap> = {}, from: SecretSource = secret) {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { webhook, origin } = await serve(provider, options, from);
    const types: string[] = [];
    webhook.onAny(({ type }: ReceivedEvent) => void types.push(type));
    return { webhook, types, log, send: (outgoing: Outgoing) => request(origin, outgoing) };
  }

  return { secret, otherSecret, signed, start };
}

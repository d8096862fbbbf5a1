import type { EventMap, Provider, SecretSource } from "@crowdhook/core";
import type { WebhookOptions } from "@crowdhook/core/adapter";
import { afterEach } from "vitest";
import { ADAPTER_SERVERS, type Served } from "./adapter-servers.js";
import { SECRET } from "./mounted.js";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** One entry per adapter. Everything that is served is closed after the test. */
export const SERVE = ADAPTER_SERVERS.map(([name, serve]) => {
  async function serveForTest<Events extends EventMap>(
    provider: Provider<Events>,
    options?: WebhookOptions<Events>,
    secret: SecretSource = SECRET,
  ): Promise<Served<Events>> {
    const served = await serve(provider, secret, options);
    closing.push(served.close);
    return served;
  }
  return [name, serveForTest] as const;
});

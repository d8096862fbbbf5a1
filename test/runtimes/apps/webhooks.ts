import type { EventMap, ReceivedEvent } from "@crowdhook/core";
import type { Webhook } from "@crowdhook/core/adapter";

/** Secrets of the recorded deliveries. Every app accepts all of them from both providers. */
export const SECRETS = ["12345", "prolific-secret", "ключ-🔑"];

/** The body of `GET /app`. */
export interface AppState {
  /** Calls of the listener with the requested event, in order. */
  readonly received: readonly Pick<ReceivedEvent, "provider" | "type" | "id" | "occurredAt" | "data">[];
  /** Ids of the events whose `context.signal` aborted. */
  readonly aborted: readonly string[];
  /** Whether a signature was verified with WebCrypto. */
  readonly webCrypto: boolean;
}

const received: AppState["received"][number][] = [];
const aborted: string[] = [];
const released = new Set<string>();
let time: number | undefined;
let webCrypto = false;

const { subtle } = crypto;
const { importKey } = subtle;
subtle.importKey = ((...args: Parameters<typeof importKey>) => {
  webCrypto = true;
  return importKey.apply(subtle, args);
}) as typeof importKey;

export const options = { clock: () => time ?? Date.now() };

/** Registers a listener that notes each event. The event's field `ask` says what else the listener does. */
export function listen<Events extends EventMap>(webhook: Pick<Webhook<Events>, "onAny" | "onError">): void {
  webhook.onError(() => {});
  webhook.onAny(async (incoming, context) => {
    const { provider, type, id, occurredAt, data } = incoming as ReceivedEvent;
    const again = received.some((event) => event.id === id);
    received.push({ provider, type, id, occurredAt, data });
    const { ask } = data as { ask?: unknown };
    if (ask === "fail once" && !again) throw new Error("asked to fail");
    if (ask === "wait") {
      const { signal } = context;
      signal.addEventListener("abort", () => aborted.push(id));
      // Polls, because in older Workers no request can resolve a promise of another request.
      while (!released.has(id)) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
}

/**
 * Returns the `AppState` for `GET /app`. `?id=` requests an event. `?time=` sets the clock of the
 * webhooks, in Unix milliseconds; an empty value restores the real clock. `?release=` lets the listener
 * of an event finish.
 */
export function stateFor(url: string): string {
  const { searchParams: asked } = new URL(url, "http://localhost");
  const id = asked.get("id");
  if (asked.has("time")) time = Number(asked.get("time")) || undefined;
  released.add(asked.get("release") ?? "");
  const state: AppState = {
    received: received.filter((event) => event.id === id),
    aborted,
    webCrypto,
  };
  return JSON.stringify(state);
}

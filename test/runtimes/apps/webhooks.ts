import type { EventMap, ReceivedEvent } from "@crowdhook/core";
import type { Webhook } from "@crowdhook/core/adapter";

/** Those of the recorded deliveries. Every app accepts all of them, from both providers. */
export const SECRETS = ["12345", "prolific-secret", "ключ-🔑"];

/** What an app tells at `/app`. */
export interface AppState {
  /** What listeners heard of the event that was asked for, in order. */
  readonly heard: readonly Pick<ReceivedEvent, "provider" | "type" | "id" | "occurredAt" | "data">[];
  /** Ids of the events whose `context.signal` aborted. */
  readonly aborted: readonly string[];
  /** Whether a signature's key was made by WebCrypto. */
  readonly webCrypto: boolean;
}

const heard: AppState["heard"][number][] = [];
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

/** Has what a webhook receives heard. What the listener does is asked for by the event itself, as `ask`. */
export function listen<Events extends EventMap>(webhook: Pick<Webhook<Events>, "onAny" | "onError">): void {
  webhook.onError(() => {});
  webhook.onAny(async (received, context) => {
    const { provider, type, id, occurredAt, data } = received as ReceivedEvent;
    const again = heard.some((event) => event.id === id);
    heard.push({ provider, type, id, occurredAt, data });
    const { ask } = data as { ask?: unknown };
    if (ask === "fail once" && !again) throw new Error("asked to fail");
    if (ask === "wait") {
      const { signal } = context;
      signal.addEventListener("abort", () => aborted.push(id));
      // Asks again and again: in older Workers no request can resolve a promise of another one.
      while (!released.has(id)) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
}

/**
 * What is answered to `GET /app`: the `AppState`. `?id=` asks for an event. `?time=` sets the clock of
 * the webhooks, in Unix milliseconds, and an empty one sets it back to the real one. `?release=` lets
 * the listener of an event end.
 */
export function stateFor(url: string): string {
  const { searchParams: asked } = new URL(url, "http://localhost");
  const id = asked.get("id");
  if (asked.has("time")) time = Number(asked.get("time")) || undefined;
  released.add(asked.get("release") ?? "");
  const state: AppState = {
    heard: heard.filter((event) => event.id === id),
    aborted,
    webCrypto,
  };
  return JSON.stringify(state);
}

import type { DeliveryHeaders, Provider } from "@crowdhook/core";
import { SENDERS, type Sender } from "@crowdhook/core/testing";

export const PROVIDERS: readonly Provider[] = SENDERS.map(({ provider }) => provider);

/** @param name A choice of `--provider`. */
export function providerNamed(name: string | undefined): Provider | undefined {
  return PROVIDERS.find((provider) => provider.name === name);
}

/** Returns the providers that an option may mean: the one that it names, or all. */
export function providersFor(name: string | undefined): readonly Provider[] {
  return PROVIDERS.filter((provider) => name === undefined || provider.name === name);
}

export function senderOf(provider: Provider): Sender {
  const sender = SENDERS.find((sender) => sender.provider === provider);
  if (!sender) throw new Error(`${provider.name} is not in SENDERS.`);
  return sender;
}

/** Returns the provider that a delivery seems to come from: by its headers, or else by its body. Never throws. */
export function providerOf(headers: DeliveryHeaders, body: Uint8Array): Provider | undefined {
  return PROVIDERS.find((provider) => provider.matches(headers)) ?? providerOfBody(headers, body);
}

function providerOfBody(headers: DeliveryHeaders, body: Uint8Array): Provider | undefined {
  const readings = readingsOf(headers, body);
  // An object with a field called "type" can be read as Toloka's, so a known type decides.
  const known = readings.find(({ provider, events }) =>
    events.some(({ type }) => provider.eventTypes.includes(type)),
  );
  return (known ?? readings[0])?.provider;
}

/** Returns the id of a delivery's first event, which some providers sign. Empty if the body cannot be read. */
export function eventIdOf(provider: Provider, headers: DeliveryHeaders, body: Uint8Array): string {
  const reading = readingsOf(headers, body).find((each) => each.provider === provider);
  return reading?.events[0]?.id ?? "";
}

function readingsOf(headers: DeliveryHeaders, body: Uint8Array) {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(body));
    return PROVIDERS.flatMap((provider) => {
      const events = provider.parseEvents(json, headers, Date.now());
      return events ? [{ provider, events }] : [];
    });
  } catch {
    // Not JSON, or nested so deeply that it overflows the stack.
    return [];
  }
}

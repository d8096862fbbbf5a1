import type { SignatureDefinition } from "@crowdhook/core";
import type { Sender } from "@crowdhook/core/testing";

// Which checks apply to a provider follows from what its scheme can do, never from its name.

export function sendsManyEvents({ provider }: Sender): boolean {
  return provider.eventsPerDelivery === "many";
}

/** Returns whether the signature covers a time. */
export function signsTime({ provider }: Sender): boolean {
  return provider.signatureFormat.timestamp !== undefined;
}

/** Returns whether a captured delivery stays valid for as long as the secret. */
export function signsNoTime(sender: Sender): boolean {
  return !signsTime(sender);
}

/** Returns whether the time and the body are signed without a text between them. */
export function joinsTimeAndBody({ provider: { definition } }: Sender): boolean {
  const signature = definition?.signature;
  return signature !== undefined && "signs" in signature && signature.signs.includes("{timestamp}{body}");
}

export function dropsLeadingZeros(sender: Sender): boolean {
  return sender.dropsLeadingZeros;
}

/** Returns whether the signature leaves out the event's id, so that anyone can change it. */
export function leavesEventIdsUnsigned({ provider }: Sender): boolean {
  return !provider.signsEventIds;
}

/** Returns whether the signature itself is the id: the same signature is one event, and any other is another. */
export function identifiesBySignature({ provider: { definition } }: Sender): boolean {
  const id = definition?.envelope.id;
  return typeof id === "object" && "from" in id;
}

/** Returns whether an event has an id that stays the same when the provider signs it again. */
export function givesEventsIds(sender: Sender): boolean {
  return !identifiesBySignature(sender);
}

/** Returns whether only the signature protects against a replay, because no other part of a copy is fixed. */
export function isClaimedBySignature(sender: Sender): boolean {
  return identifiesBySignature(sender) || leavesEventIdsUnsigned(sender);
}

/** Returns the header with the signed id, in lower case; `undefined` if the signature covers no header with an id. */
export function signedIdHeader(sender: Sender): string | undefined {
  const id = "an id";
  const lines = sender.signatureHeaders({ time: "", version: "", digest: "", id });
  return lines.find(([, value]) => value === id)?.[0].toLowerCase();
}

export function signsIdHeader(sender: Sender): boolean {
  return signedIdHeader(sender) !== undefined;
}

/** Describes a header that holds several signatures. */
export interface SignatureList {
  readonly separator: string;
  /** The text in front of each digest. */
  readonly prefix: string;
}

/** Returns `undefined` if the header holds one signature. */
export function signatureList({ provider: { definition } }: Sender): SignatureList | undefined {
  const signature = definition?.signature;
  if (signature === undefined || !("separator" in signature)) return undefined;
  const { separator, prefix = "" } = signature;
  return separator === undefined ? undefined : { separator, prefix };
}

export function sendsSeveralSignatures(sender: Sender): boolean {
  return signatureList(sender) !== undefined;
}

export function sendsOneSignature(sender: Sender): boolean {
  return !sendsSeveralSignatures(sender);
}

/** Returns how a secret encodes the key; `undefined` if its own bytes are the key. */
export function secretFormat({ provider: { definition } }: Sender): SignatureDefinition["secret"] {
  const signature = definition?.signature;
  return signature !== undefined && "secret" in signature ? signature.secret : undefined;
}

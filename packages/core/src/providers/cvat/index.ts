import { assembleProvider } from "../defining/assemble-provider.js";
import type { SignatureDefinition } from "../defining/definition.js";
import { createSignature } from "../defining/signature.js";
import { type CvatEvents, ENVELOPE, SCHEMAS } from "./events.js";

/** Source: CVAT's documentation, "Webhooks", "Webhook secret". */
const SIGNATURE: SignatureDefinition = {
  header: "X-Signature-256",
  encoding: "hex",
  prefix: "sha256=",
  signs: "{body}",
};

/**
 * Webhooks of CVAT. Signed with the header `X-Signature-256`; one event per delivery. CVAT signs no time and
 * sends no event id. The digest is the event's id, and `occurredAt` is when the receiver got the delivery. A
 * captured request can be replayed for as long as the secret is valid; the receiver recognises it for seven days.
 */
export const cvat = assembleProvider<CvatEvents>(
  { name: "cvat", title: "CVAT", signature: SIGNATURE, envelope: ENVELOPE, events: SCHEMAS },
  createSignature(SIGNATURE),
);

export type { CvatEventData, CvatEvents, CvatResource, CvatUser } from "./events.js";

import type { Sender } from "@crowdhook/core/testing";
import {
  givesEventsIds,
  sendsManyEvents,
  sendsOneSignature,
  signsTime,
} from "../packages/audit/src/capabilities.js";

/**
 * Returns the capabilities that decide whether a row runs for a provider. Each comment says what a provider
 * without the capability cannot show. A row never asks for the name of a provider.
 */
export function capabilitiesOf(sender: Sender) {
  return {
    /** Without it a delivery has one event, so there are no other events whose outcome could differ. */
    sendsManyEvents: sendsManyEvents(sender),
    /** Without it no delivery is too old or too new: it stays valid for as long as the secret. */
    signsTime: signsTime(sender),
    /** Without it the header is a list of signatures. Two headers are then one longer list, and valid. */
    sendsOneSignature: sendsOneSignature(sender),
    /** Without it the signature is the id, so an unsigned event has no id to claim. */
    givesEventsIds: givesEventsIds(sender),
  };
}

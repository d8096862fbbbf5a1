import type { Sender } from "@crowdhook/core/testing";
import {
  givesEventsIds,
  sendsManyEvents,
  sendsOneSignature,
  signsTime,
} from "../packages/audit/src/capabilities.js";

/**
 * Returns the capabilities by which a row of the behaviours leaves a provider out. Each one states why its
 * rows have nothing to check for a provider without it. A row never asks for the name of a provider.
 */
export function capabilitiesOf(sender: Sender) {
  return {
    /** Without it a delivery has one event, so there are no other events whose outcome could differ. */
    sendsManyEvents: sendsManyEvents(sender),
    /** Without it no delivery is too old or too new: it stays valid for as long as the secret. */
    signsTime: signsTime(sender),
    /** Without it the header is a list of signatures. Two headers are then one longer list, and valid. */
    sendsOneSignature: sendsOneSignature(sender),
    /** Without it the signature is the id, so an event without a signature has nothing to be claimed by. */
    givesEventsIds: givesEventsIds(sender),
  };
}

import type { SignatureDefinition } from "../defining/definition.js";

/** Source: Prolific's API reference, "Verifying webhook signatures". */
export const SIGNATURE: SignatureDefinition = {
  header: "X-Prolific-Request-Signature",
  encoding: "base64",
  timestamp: { header: "X-Prolific-Request-Timestamp", unit: "seconds" },
  signs: "{timestamp}{body}",
};

import { signedIdHeader, signsIdHeader } from "../../capabilities.js";
import type { RunnableCheck } from "../../check.js";
import { STANDARD_WEBHOOKS } from "../../sources.js";

/** The rules of a header with an id that the signature covers. */
export const SIGNED_ID_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-id-changed",
    group: "signature",
    appliesTo: signsIdHeader,
    level: "MUST",
    requirement: "An id that was changed after signing is refused.",
    reason: "Otherwise a captured delivery can be sent again and again, each time as a new event.",
    source: STANDARD_WEBHOOKS,
    run: (session) =>
      session.expectRefused(
        { alterSignature: () => ({ id: session.event().id }) },
        { alterSignature: ({ id }) => ({ id: `${id}0` }) },
        {
          alterSignature: ({ id }) => ({ id: id.toUpperCase() === id ? id.toLowerCase() : id.toUpperCase() }),
        },
      ),
  },
  {
    id: "signature-id-missing",
    group: "signature",
    appliesTo: signsIdHeader,
    level: "MUST",
    requirement: "A delivery whose id was removed after signing is refused.",
    reason: "Otherwise the endpoint has nothing by which it recognises the delivery the next time.",
    source: STANDARD_WEBHOOKS,
    run: (session) =>
      session.expectRefused(
        { alterSignature: () => ({ id: "" }) },
        {
          signatureHeaders: (signature) => {
            const name = signedIdHeader(session.sender);
            return session.sender.signatureHeaders(signature).filter(([each]) => each.toLowerCase() !== name);
          },
        },
      ),
  },
];

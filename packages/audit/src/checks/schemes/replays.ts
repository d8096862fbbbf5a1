import type { Sender } from "@crowdhook/core/testing";
import { isClaimedBySignature, signsNoTime } from "../../capabilities.js";
import type { RunnableCheck } from "../../check.js";
import type { Draft } from "../../delivery.js";

const OTHERS = 30;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** For each encoding, functions that write a digest in another way that decoders read as the same bytes. */
const RESPELLED: Readonly<Record<Sender["digestEncoding"], readonly ((digest: string) => string)[]>> = {
  hex: [(digest) => digest.toUpperCase()],
  base64: [
    (digest) => digest.replace(/=+$/, ""),
    // Without padding, too: a digest may lack both signs, and would stay the same.
    (digest) => digest.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
    // The last character before the padding has bits that decoders drop.
    (digest) => digest.replace(/.(?==)/, (last) => ALPHABET[ALPHABET.indexOf(last) + 1] ?? last),
  ],
};

/** The rules of providers whose captured deliveries only a claim on the signature can refuse. */
export const REPLAY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "once-after-others",
    group: "once",
    appliesTo: signsNoTime,
    level: "MUST",
    requirement: `A delivery that is repeated after ${OTHERS} others is not handled again.`,
    reason:
      "The provider signs no time, so a captured delivery never grows old. Only the endpoint's memory stops it.",
    source: "CWE-294",
    needs: "report",
    run: async (session) => {
      const captured = session.delivery();
      await session.send(captured);
      for (let sent = 0; sent < OTHERS; sent++) await session.send({});
      await session.send(captured);
      await session.expectHandledOnce(captured.ids);
    },
  },
  {
    id: "once-respelled",
    group: "once",
    appliesTo: isClaimedBySignature,
    level: "SHOULD",
    requirement: "A delivery that is repeated with another spelling of its signature is not handled again.",
    reason:
      "Only the signature shows that the delivery is a copy. Decoders read upper-case digits, and base64 without padding, as the same bytes.",
    source: "RFC 4648, sections 3.5 and 8",
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const time = session.sender.formatTime(Date.now());
      const copies = RESPELLED[session.sender.digestEncoding].map((respell): Draft => {
        // If the id is not signed, a copy has a new one.
        const copy = { ...event, id: session.event().id };
        return { events: [copy], time, alterSignature: ({ digest }) => ({ digest: respell(digest) }) };
      });
      const original = session.delivery({ events: [event], time });
      await session.expectAccepted(original);
      const ids = new Set(original.ids);
      for (const copy of copies) {
        const delivery = session.delivery(copy);
        for (const id of delivery.ids) ids.add(id);
        await session.send(delivery);
      }
      await session.expectAccepted({});
      const handled = (await session.handledIds()).filter((id) => ids.has(id.toLowerCase())).length;
      session.expect(handled === 1, "handled once", `handled ${handled} times`);
    },
  },
];

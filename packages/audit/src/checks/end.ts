import type { RunnableCheck } from "../check.js";
import { isSuccess } from "../session.js";
import { REDELIVERY, SIGNATURES } from "../sources.js";

export const END_CHECKS: readonly RunnableCheck[] = [
  {
    id: "end-refused-not-handled",
    group: "end",
    level: "MUST",
    requirement: "No event of a refused delivery has been handled.",
    reason: "An answer of 401 does not help if the app handles the event anyway.",
    source: SIGNATURES,
    needs: "report",
    run: async (session) => {
      const forged = session.delivery({ secret: session.wrongSecret });
      if (!isSuccess((await session.send(forged)).status))
        for (const id of forged.ids) session.refused.set(id, "end-refused-not-handled");
      await session.expectAccepted({});
      const handled = new Set(await session.handledIds());
      const checks = new Set(
        [...session.refused].filter(([id]) => handled.has(id)).map(([, check]) => check),
      );
      session.expect(
        checks.size === 0,
        "no such event handled",
        `handled: events of ${[...checks].join(", ")}`,
      );
    },
  },
  {
    id: "end-nothing-twice",
    group: "end",
    level: "MUST",
    requirement: "No event has been handled twice.",
    reason: "A queue may run the work of an event again later.",
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const handled = (await session.handledIds()).filter((id) => session.sent.has(id));
      const twice = handled.length - new Set(handled).size;
      session.expect(twice === 0, "each event handled once", `${twice} handled again`);
    },
  },
  {
    id: "end-alive",
    group: "end",
    level: "MUST",
    requirement: "After all other checks, a good delivery is accepted.",
    reason: "No sender may be able to stop the endpoint.",
    source: "CWE-400",
    run: async (session) => {
      const { isDown, downAfter } = session;
      const seen = isDown ? `no answers since ${downAfter}` : `no answers for a while after ${downAfter}`;
      session.expect(downAfter === undefined, "2xx at all times", seen);
      await session.expectAccepted({});
    },
  },
];

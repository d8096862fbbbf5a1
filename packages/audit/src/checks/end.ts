import { BOTH, type RunnableCheck } from "../check.js";
import { isSuccess } from "../session.js";

export const END_CHECKS: readonly RunnableCheck[] = [
  {
    id: "end-refused-not-handled",
    group: "end",
    providers: BOTH,
    level: "MUST",
    what: "Nothing that was refused has been handled.",
    reason: "An answer of 401 is no use if the event is handled all the same.",
    source: 'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Verifying"',
    needs: "report",
    run: async (s) => {
      const forged = s.delivery({ secret: `not-${s.options.secrets[0]}` });
      if (!isSuccess((await s.send(forged)).status))
        for (const id of forged.ids) s.refused.set(id, "this one");
      await s.accepts({});
      const handled = new Set(await s.handled());
      const checks = new Set([...s.refused].filter(([id]) => handled.has(id)).map(([, check]) => check));
      s.expects(checks.size === 0, "no such event handled", `handled: those of ${[...checks].join(", ")}`);
    },
  },
  {
    id: "end-nothing-twice",
    group: "end",
    providers: BOTH,
    level: "MUST",
    what: "Nothing has been handled twice.",
    reason: "Work that is done later, behind a queue, may be done again after all.",
    source:
      'Prolific\'s API reference, "Idempotency and the X-Event-ID Header"; Toloka gives each event a uuid and promises no single delivery',
    needs: "report",
    run: async (s) => {
      const handled = (await s.handled()).filter((id) => s.sent.has(id));
      const twice = handled.length - new Set(handled).size;
      s.expects(twice === 0, "each event handled once", `${twice} were handled again`);
    },
  },
  {
    id: "end-alive",
    group: "end",
    providers: BOTH,
    level: "MUST",
    what: "After all of this a good delivery is accepted.",
    reason: "No sender must be able to end it, or to make it stand still.",
    source: "CWE-400",
    run: async (s) => {
      const { isDown, downAfter } = s;
      const seen = `nothing answers ${isDown ? "since" : "for a while after"} ${downAfter}`;
      s.expects(downAfter === undefined, "2xx, all the time", seen);
      await s.accepts({});
    },
  },
];

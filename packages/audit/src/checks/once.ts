import { BOTH, PROLIFIC, type RunnableCheck, TOLOKA } from "../check.js";

const TWICE =
  'Prolific\'s API reference, "Idempotency and the X-Event-ID Header"; Toloka gives each event a uuid and promises no single delivery';
const AT_LEAST_ONCE =
  "What is sent again, because an answer was lost or late, must not be paid or rejected twice.";

/** So many deliveries of one event at once. */
const CONCURRENT = 10;

export const ONCE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "once-accepted",
    group: "once",
    providers: BOTH,
    level: "SHOULD",
    what: "A delivery that comes again is accepted again.",
    reason: "Refused, it is sent again and again, though it was handled.",
    source: TWICE,
    run: (s) => {
      const events = [s.event()];
      return s.accepts({ events, at: -2_000 }, { events });
    },
  },
  {
    id: "once-same-delivery",
    group: "once",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that comes again, byte for byte, is not handled again.",
    reason: AT_LEAST_ONCE,
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const delivery = s.delivery();
      for (let times = 0; times < 3; times++) await s.send(delivery);
      await s.handledOnce(delivery.ids);
    },
  },
  {
    id: "once-signed-anew",
    group: "once",
    providers: BOTH,
    level: "MUST",
    what: "An event that comes again, signed anew, is not handled again.",
    reason: AT_LEAST_ONCE,
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      await s.accepts({ events: [event], at: -2_000 });
      await s.send({ events: [event] });
      await s.handledOnce([event.id]);
    },
  },
  {
    id: "once-concurrent",
    group: "once",
    providers: BOTH,
    level: "MUST",
    what: `An event that comes ${CONCURRENT} times at once is handled once.`,
    reason: `${AT_LEAST_ONCE} Who looks first and notes afterwards finds it new ${CONCURRENT} times.`,
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      // Some may be told to come again.
      await Promise.all(Array.from({ length: CONCURRENT }, () => s.send({ events: [event] })));
      await s.send({ events: [event] });
      await s.handledOnce([event.id]);
    },
  },
  {
    id: "once-in-a-delivery",
    group: "once",
    providers: TOLOKA,
    level: "MUST",
    what: "An event that is in one delivery twice is handled once.",
    reason: AT_LEAST_ONCE,
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      const other = s.event();
      await s.send({ events: [event, other, event] });
      await s.handledOnce([event.id, other.id]);
    },
  },
  {
    id: "once-among-others",
    group: "once",
    providers: TOLOKA,
    level: "MUST",
    what: "Of a delivery with an event that was handled and one that was not, only the second is handled.",
    reason: `${AT_LEAST_ONCE} And what is new must not be lost for what is beside it.`,
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      const other = s.event();
      await s.accepts({ events: [event] });
      await s.send({ events: [event, other] });
      await s.handledOnce([event.id, other.id]);
    },
  },
  {
    id: "once-each",
    group: "once",
    providers: BOTH,
    level: "MUST",
    what: "Two events that differ in nothing but their ids are both handled.",
    reason: "Events are told apart by their ids; by anything else, the second one is lost.",
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      const { id } = s.event();
      const content = "uuid" in event.content ? { ...event.content, uuid: id } : event.content;
      // Signed at another second, for a signature of its own.
      await s.accepts({ events: [event], at: -2_000 });
      await s.accepts({ events: [{ id, content }] });
      await s.handledOnce([event.id, id]);
    },
  },
  {
    id: "once-after-forgery",
    group: "once",
    providers: BOTH,
    level: "MUST",
    what: "An event is handled although a forgery with its id came before it.",
    reason: "Who notes ids before verifying lets anybody have events passed over.",
    source: TWICE,
    needs: "report",
    run: async (s) => {
      const event = s.event();
      await s.send({ events: [event], secret: `not-${s.options.secrets[0]}` });
      await s.accepts({ events: [event] });
    },
  },
  {
    id: "once-other-id",
    group: "once",
    providers: PROLIFIC,
    level: "SHOULD",
    what: "A delivery that comes again with another `X-Event-ID` is not handled again.",
    reason: "The id is not signed, so whoever got hold of a delivery can send it again under new ids.",
    source: 'Prolific\'s API reference, "Verifying": time and body are signed, other headers are not',
    needs: "report",
    run: async (s) => {
      const event = s.event();
      const other = { ...event, id: s.event().id };
      const time = s.provider.time(Date.now());
      await s.accepts({ events: [event], time });
      await s.send({ events: [other], time });
      await s.accepts({});
      s.expects(!(await s.handled()).includes(other.id), "handled once", "handled again, under another id");
    },
  },
];

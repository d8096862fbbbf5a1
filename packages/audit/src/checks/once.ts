import {
  givesEventsIds,
  identifiesBySignature,
  leavesEventIdsUnsigned,
  sendsManyEvents,
} from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import { CVAT_WEBHOOKS, REDELIVERY } from "../sources.js";
import { REPLAY_CHECKS } from "./schemes/replays.js";

const REPEATED =
  "If an answer is lost or late, the provider delivers the event again. The app must not pay or reject twice.";

const CONCURRENT = 10;

export const ONCE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "once-accepted",
    group: "once",
    level: "SHOULD",
    requirement: "A repeated delivery is accepted.",
    reason: "If the endpoint refuses it, the provider sends it again and again, although it was handled.",
    source: REDELIVERY,
    run: (session) => {
      const events = [session.event()];
      return session.expectAccepted({ events, timeOffset: -2_000 }, { events });
    },
  },
  {
    id: "once-same-delivery",
    group: "once",
    level: "MUST",
    requirement: "A delivery that is repeated byte for byte is not handled again.",
    reason: REPEATED,
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const delivery = session.delivery();
      for (let times = 0; times < 3; times++) await session.send(delivery);
      await session.expectHandledOnce(delivery.ids);
    },
  },
  {
    id: "once-signed-anew",
    group: "once",
    appliesTo: givesEventsIds,
    level: "MUST",
    requirement: "An event that is repeated with a new signature is not handled again.",
    reason: REPEATED,
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const event = session.event();
      await session.expectAccepted({ events: [event], timeOffset: -2_000 });
      await session.send({ events: [event] });
      await session.expectHandledOnce([event.id]);
    },
  },
  {
    id: "once-concurrent",
    group: "once",
    level: "MUST",
    requirement: `An event that is delivered ${CONCURRENT} times at once is handled once.`,
    reason: `${REPEATED} An endpoint that looks an id up and stores it later finds the event new ${CONCURRENT} times.`,
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const delivery = session.delivery();
      await Promise.all(Array.from({ length: CONCURRENT }, () => session.send(delivery)));
      // The endpoint may have answered all of them with "retry later".
      await session.send(delivery);
      await session.expectHandledOnce(delivery.ids);
    },
  },
  {
    id: "once-in-a-delivery",
    group: "once",
    appliesTo: sendsManyEvents,
    level: "MUST",
    requirement: "An event that one delivery contains twice is handled once.",
    reason: REPEATED,
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const other = session.event();
      await session.send({ events: [event, other, event] });
      await session.expectHandledOnce([event.id, other.id]);
    },
  },
  {
    id: "once-among-others",
    group: "once",
    appliesTo: sendsManyEvents,
    level: "MUST",
    requirement: "If a delivery contains a handled event and a new one, only the new one is handled.",
    reason: `${REPEATED} A duplicate must not make the endpoint lose the new event.`,
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const other = session.event();
      await session.expectAccepted({ events: [event] });
      await session.send({ events: [event, other] });
      await session.expectHandledOnce([event.id, other.id]);
    },
  },
  {
    id: "once-each",
    group: "once",
    appliesTo: givesEventsIds,
    level: "MUST",
    requirement: "Two events that differ only in their ids are both handled.",
    reason: "Only the id identifies an event. An endpoint that compares anything else loses the second one.",
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const { id } = session.event();
      // Some providers also write the id into the body, at any depth.
      const content = JSON.parse(JSON.stringify(event.content), (_, value) =>
        value === event.id ? id : value,
      );
      // Signed two seconds earlier, so that the signatures differ even if the bodies do not.
      await session.expectAccepted({ events: [event], timeOffset: -2_000 });
      await session.expectAccepted({ events: [{ id, content }] });
      await session.expectHandledOnce([event.id, id]);
    },
  },
  {
    id: "once-each-body",
    group: "once",
    appliesTo: identifiesBySignature,
    level: "MUST",
    requirement: "Two deliveries with different bodies are both handled, and either is handled once.",
    reason: "The provider sends no ids, so every other signature is another event.",
    source: CVAT_WEBHOOKS,
    needs: "report",
    run: async (session) => {
      const time = session.sender.formatTime(Date.now());
      const event = session.event({ note: "note-1" });
      const other = { ...event, content: { ...event.content, note: "note-2" } };
      const deliveries = [event, other, event].map((each) => session.delivery({ events: [each], time }));
      await session.expectAccepted(...deliveries);
      await session.expectHandledOnce(deliveries.slice(0, 2).flatMap(({ ids }) => ids));
    },
  },
  {
    id: "once-after-forgery",
    group: "once",
    level: "MUST",
    requirement: "An event is handled although a forgery with its id arrived first.",
    reason: "An endpoint that stores ids before it verifies lets anyone suppress events.",
    source: REDELIVERY,
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const good = session.delivery({ events: [event] });
      const forgery = identifiesBySignature(session.sender)
        ? { ...good, body: Buffer.from("{}") }
        : session.delivery({ events: [event], secret: session.wrongSecret });
      await session.send(forgery);
      await session.expectAccepted(good);
    },
  },
  {
    id: "once-other-id",
    group: "once",
    appliesTo: leavesEventIdsUnsigned,
    level: "SHOULD",
    requirement: "A delivery that is repeated with another id is not handled again.",
    reason:
      "The signature does not cover the id, so anyone with a captured delivery can send it under new ids.",
    source: 'Prolific\'s API reference, "Verifying": time and body are signed, other headers are not',
    needs: "report",
    run: async (session) => {
      const event = session.event();
      const other = { ...event, id: session.event().id };
      const time = session.sender.formatTime(Date.now());
      await session.expectAccepted({ events: [event], time });
      await session.send({ events: [other], time });
      await session.expectAccepted({});
      const handled = await session.handledIds();
      session.expect(!handled.includes(other.id), "handled once", "handled again, under another id");
    },
  },
  ...REPLAY_CHECKS,
];

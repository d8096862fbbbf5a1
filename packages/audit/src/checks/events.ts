import type { SentEvent } from "@crowdhook/core/testing";
import { sendsManyEvents } from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import type { Session } from "../session.js";
import { EVENT_FIELDS, TOLOKA_NOTIFICATIONS } from "../sources.js";
import { PROLIFIC_EVENT_CHECKS } from "./providers/prolific.js";
import { TOLOKA_EVENT_CHECKS } from "./providers/toloka.js";

const TYPES =
  "Toloka's OpenAPI file and SDKs; Prolific's API reference, \"List all subscribable event types\"";
const PARSERS = "RFC 8259, section 9: a parser may limit sizes, depths and numbers";

const NO_FAILURE = "The endpoint may read or refuse it, but it is not a failure of the app.";

/** An event with the default type's fields and another type. */
const withType = (session: Session, type: string) => session.event({ [session.sender.typeField]: type });
const oneByOne = (events: readonly SentEvent[]): readonly Draft[] =>
  events.map((event) => ({ events: [event] }));

/** An event with one more field, given as JSON. */
function withField(session: Session, field: string): Draft {
  const events = [session.event({ "@": 0 })];
  return { events, body: session.sender.composeBody(events).replace(/"@": ?0/, field) };
}

const nested = (depth: number) => `"note": ${"[".repeat(depth)}${"]".repeat(depth)}`;
const HUGE_NUMBERS = [
  `"note": ${"9".repeat(500)}`,
  '"note": 1e999',
  '"note": -1e-999',
  `"note": 0.${"1".repeat(500)}`,
];
/** The names of members that objects inherit in JavaScript or Python. */
const INHERITED = ["constructor", "__proto__", "toString", "hasOwnProperty", "__class__"];

/** For each documented field, events in which the field is missing, `null` or an object. */
function misfits(session: Session): readonly Draft[] {
  return Object.keys(session.event().content).flatMap((field) => {
    const { id, content } = session.event();
    const { [field]: _, ...others } = content;
    const events = [
      { id, content: others },
      session.event({ [field]: null }),
      session.event({ [field]: { x: 1 } }),
    ];
    return oneByOne(events);
  });
}

/** An event with its type and id, and numbers in all other fields. */
function unreadable(session: Session): SentEvent {
  const { id, content } = session.event();
  const isKept = (name: string, value: unknown) => name === session.sender.typeField || value === id;
  const fields = Object.entries(content).map(([name, value]) => [name, isKept(name, value) ? value : 42]);
  return { id, content: Object.fromEntries(fields) };
}

export const EVENT_CHECKS: readonly RunnableCheck[] = [
  {
    id: "event-types",
    group: "events",
    level: "MUST",
    requirement: "Events of all documented types are accepted.",
    reason: "Otherwise a subscription loses its events.",
    source: TYPES,
    run: (session) =>
      session.expectAccepted(
        ...oneByOne(session.sender.provider.eventTypes.map((type) => session.event({}, type))),
      ),
  },
  {
    id: "event-type-new",
    group: "events",
    level: "SHOULD",
    requirement: "An event of an undocumented type is accepted.",
    reason:
      "Providers add types. If the endpoint refuses one, the provider repeats the delivery and may disable the subscription.",
    source: TYPES,
    run: (session) =>
      session.expectAccepted(
        ...oneByOne([withType(session, "SOMETHING_NEW"), withType(session, "something.new")]),
      ),
  },
  {
    id: "event-type-new-among-others",
    group: "events",
    appliesTo: sendsManyEvents,
    level: "MUST",
    requirement: "A delivery is accepted if one of its events has an undocumented type.",
    reason: "Otherwise the other events are lost with it.",
    source: TYPES,
    run: (session) =>
      session.expectAccepted({
        events: [session.event(), withType(session, "SOMETHING_NEW"), session.event()],
      }),
  },
  {
    id: "event-type-inherited",
    group: "events",
    level: "SHOULD",
    requirement: "Event types such as `constructor` and `__proto__` are answered with a status below 500.",
    reason: "Every object has members of these names. A lookup of listeners in an object finds them.",
    source: TYPES,
    run: (session) =>
      session.expectStatus(
        "an answer below 500",
        ...oneByOne(INHERITED.map((type) => withType(session, type))),
      ),
  },
  {
    id: "event-fields-new",
    group: "events",
    level: "MUST",
    requirement: "An event with undocumented fields is accepted.",
    reason: "Providers add fields. Otherwise the event is lost.",
    source: EVENT_FIELDS,
    run: (session) =>
      session.expectAccepted({
        events: [session.event({ new_text: "x", new_list: [1, null, { x: true }], new_object: { id: "x" } })],
      }),
  },
  ...PROLIFIC_EVENT_CHECKS,
  ...TOLOKA_EVENT_CHECKS,
  {
    id: "event-batch",
    group: "events",
    appliesTo: sendsManyEvents,
    level: "MUST",
    requirement: "All 200 events of one delivery are handled.",
    reason: "A delivery contains one event or many.",
    source: TOLOKA_NOTIFICATIONS,
    needs: "report",
    run: (session) => session.expectAccepted({ events: Array.from({ length: 200 }, () => session.event()) }),
  },
  {
    id: "event-batch-order",
    group: "events",
    appliesTo: sendsManyEvents,
    level: "MAY",
    requirement: "The events of a delivery are handled in their order.",
    reason: "Order makes an app easier to understand, although no provider promises it.",
    source: TOLOKA_NOTIFICATIONS,
    needs: "report",
    run: async (session) => {
      const events = Array.from({ length: 20 }, () => session.event());
      await session.expectAccepted({ events });
      const ids = events.map(({ id }) => id);
      const handled = (await session.handledIds()).filter((id) => ids.includes(id));
      session.expect(handled.join() === ids.join(), "the order of the delivery", "another order");
    },
  },
  {
    id: "event-misfit-among-others",
    group: "events",
    appliesTo: sendsManyEvents,
    level: "SHOULD",
    requirement: "The other events of a delivery are handled if one event is malformed.",
    reason: "Otherwise they are lost with it, or the provider sends them again and again.",
    source: TOLOKA_NOTIFICATIONS,
    needs: "report",
    run: async (session) => {
      const [first, last] = [session.event(), session.event()];
      await session.send({ events: [first, unreadable(session), last] });
      await session.expectHandled([first.id, last.id]);
    },
  },
  {
    id: "event-misfit",
    group: "events",
    level: "MUST",
    requirement:
      "An event with a missing or mistyped field gets an answer, and so does a delivery with an empty event header.",
    reason: "An endpoint that crashes or hangs takes other deliveries with it. Any status is right here.",
    source: EVENT_FIELDS,
    run: (session) => {
      const names = session.sender.eventHeaders(session.event(), 0).map(([name]) => name);
      const headers = names.map((name): Draft => ({ headers: [[name, ""]] }));
      return session.expectStatus("any answer", ...misfits(session), ...headers);
    },
  },
  {
    id: "event-fields-twice",
    group: "events",
    level: "SHOULD",
    requirement: "An event that contains one field twice is answered with a status below 500.",
    reason: NO_FAILURE,
    source: "RFC 8259, section 4: what a parser makes of it is open",
    run: (session) => {
      const { typeField, defaultType } = session.sender;
      return session.expectStatus(
        "an answer below 500",
        withField(session, `"${typeField}": "${defaultType}"`),
      );
    },
  },
  {
    id: "event-field-proto",
    group: "events",
    level: "SHOULD",
    requirement:
      "An event with a field `__proto__` is answered with a status below 500 and does not affect the next event.",
    reason: "An endpoint that merges the field into an object may change all objects of the process.",
    source: "CWE-1321",
    run: async (session) => {
      await session.expectStatus(
        "an answer below 500",
        ...['"__proto__": {"status": "x", "type": "x"}', '"constructor": {"prototype": {"type": "x"}}'].map(
          (field) => withField(session, field),
        ),
      );
      await session.expectAccepted({});
    },
  },
  {
    id: "event-numbers-huge",
    group: "events",
    level: "SHOULD",
    requirement:
      "An event with numbers outside the range of every number type is answered with a status below 500.",
    reason: NO_FAILURE,
    source: PARSERS,
    run: (session) =>
      session.expectStatus("an answer below 500", ...HUGE_NUMBERS.map((field) => withField(session, field))),
  },
  {
    id: "event-nested-deep",
    group: "events",
    level: "SHOULD",
    requirement: "An event that is nested 20,000 levels deep is answered with a status below 500.",
    reason: NO_FAILURE,
    source: PARSERS,
    run: (session) => session.expectStatus("an answer below 500", withField(session, nested(20_000))),
  },
];

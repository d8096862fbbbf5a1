import { BOTH, PROLIFIC, type RunnableCheck, TOLOKA } from "../check.js";
import type { SentEvent } from "../providers.js";
import type { Draft, Session } from "../session.js";

const TYPES =
  "Toloka's OpenAPI file and SDKs; Prolific's API reference, \"List all subscribable event types\"";
const TOLOKAS = "Toloka's documentation of webhook notifications";
const PROLIFICS = 'Prolific\'s API reference, "Webhooks"';
const PARSERS = "RFC 8259, section 9: a parser may limit sizes, depths and numbers";

const NO_FAILURE = "It may be read or refused; it is no failure of the app.";

const typed = (s: Session, type: string) => s.event({ [s.provider.typeField]: type });
const alone = (events: readonly SentEvent[]): readonly Draft[] =>
  events.map((event) => ({ events: [event] }));

/** An event with a field more, given as JSON. */
function withField(s: Session, field: string): Draft {
  const events = [s.event({ "@": 0 })];
  return { events, body: s.provider.compose(events).replace(/"@": ?0/, field) };
}

const nested = (depth: number) => `"note": ${"[".repeat(depth)}${"]".repeat(depth)}`;
const HUGE = [
  `"note": ${"9".repeat(500)}`,
  '"note": 1e999',
  '"note": -1e-999',
  `"note": 0.${"1".repeat(500)}`,
];
const INHERITED = ["constructor", "__proto__", "toString", "hasOwnProperty", "__class__"];

/** Events of which one documented field is left out or of another type. */
function misfits(s: Session): readonly Draft[] {
  const { content } = s.event();
  return Object.keys(content).flatMap((field) =>
    [undefined, null, { x: 1 }].map((value) => ({ events: [s.event({ [field]: value })] })),
  );
}

export const EVENT_CHECKS: readonly RunnableCheck[] = [
  {
    id: "event-types",
    group: "events",
    providers: BOTH,
    level: "MUST",
    what: "Events of all documented types are accepted.",
    reason: "What is subscribed to and not accepted is lost.",
    source: TYPES,
    run: (s) => s.accepts(...alone(s.provider.types.map((type) => typed(s, type)))),
  },
  {
    id: "event-type-new",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "An event of a type that is not documented is accepted.",
    reason:
      "The set of types is open: what is refused is sent again and again, and its subscription may be disabled.",
    source: TYPES,
    run: (s) => s.accepts(...alone([typed(s, "SOMETHING_NEW"), typed(s, "something.new")])),
  },
  {
    id: "event-type-new-among-others",
    group: "events",
    providers: TOLOKA,
    level: "MUST",
    what: "An event of a type that is not documented costs none of the others in its delivery.",
    reason: "They would be lost with it.",
    source: TYPES,
    run: (s) => s.accepts({ events: [s.event(), typed(s, "SOMETHING_NEW"), s.event()] }),
  },
  {
    id: "event-type-inherited",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "Event types such as `constructor` and `__proto__` are answered below 500.",
    reason: "Every object has these: who looks listeners up in one finds what is no listener.",
    source: TYPES,
    run: (s) => s.answersWith("an answer below 500", ...alone(INHERITED.map((type) => typed(s, type)))),
  },
  {
    id: "event-fields-new",
    group: "events",
    providers: BOTH,
    level: "MUST",
    what: "An event with fields that are not documented is accepted.",
    reason: "Providers add fields; an event must not be lost for that.",
    source: `${TOLOKAS}; ${PROLIFICS}`,
    run: (s) =>
      s.accepts({
        events: [s.event({ new_text: "x", new_list: [1, null, { x: true }], new_object: { id: "x" } })],
      }),
  },
  {
    id: "event-values-new",
    group: "events",
    providers: PROLIFIC,
    level: "MUST",
    what: "A submission with a status that is not documented is accepted.",
    reason: "The set of statuses is open.",
    source: PROLIFICS,
    run: (s) => s.accepts({ events: [s.event({ status: "SOMETHING NEW" })] }),
  },
  {
    id: "event-close-reason-new",
    group: "events",
    providers: TOLOKA,
    level: "MUST",
    what: "A closed pool is accepted with any reason.",
    reason: "Only one reason is shown in the documentation, and the set is open.",
    source: TOLOKAS,
    run: (s) => s.accepts({ events: [s.event({ type: "POOL_CLOSED", close_reason: "SOMETHING_NEW" })] }),
  },
  {
    id: "event-time-forms",
    group: "events",
    providers: TOLOKA,
    level: "MUST",
    what: "`event_time` is read with and without a fraction of a second.",
    reason: "The documentation says ISO 8601 without an offset; its precision varies.",
    source: TOLOKAS,
    run: (s) =>
      s.accepts(
        ...alone(
          [
            "2020-02-14T12:22:58",
            "2020-02-14T12:22:58.5",
            "2020-02-14T12:22:58.123",
            "2020-02-14T12:22:58.123456",
          ].map((event_time) => s.event({ event_time })),
        ),
      ),
  },
  {
    id: "event-overlap-forms",
    group: "events",
    providers: TOLOKA,
    level: "MUST",
    what: "A completed overlap is accepted with one object as `output_values` and with a list, with a whole `confidence` and a broken one.",
    reason: "The documentation describes one and shows the other.",
    source: TOLOKAS,
    run: (s) =>
      s.accepts(
        ...alone(
          [
            { output_values: { field: "value" }, confidence: 0.155 },
            { output_values: [{ field: "value" }, { field: "other" }], confidence: 1 },
          ].map((fields) => s.event({ type: "DYNAMIC_OVERLAP_COMPLETED", ...fields })),
        ),
      ),
  },
  {
    id: "event-batch",
    group: "events",
    providers: TOLOKA,
    level: "MUST",
    what: "All of 200 events in one delivery are handled.",
    reason: "A delivery holds one event or many.",
    source: TOLOKAS,
    needs: "report",
    run: (s) => s.accepts({ events: Array.from({ length: 200 }, () => s.event()) }),
  },
  {
    id: "event-batch-order",
    group: "events",
    providers: TOLOKA,
    level: "MAY",
    what: "The events of a delivery are handled in its order.",
    reason: "It is easier to reason about; no order is promised.",
    source: TOLOKAS,
    needs: "report",
    run: async (s) => {
      const events = Array.from({ length: 20 }, () => s.event());
      await s.accepts({ events });
      const ids = events.map(({ id }) => id);
      const handled = (await s.handled()).filter((id) => ids.includes(id));
      s.expects(handled.join() === ids.join(), "the order of the delivery", "another order");
    },
  },
  {
    id: "event-misfit-among-others",
    group: "events",
    providers: TOLOKA,
    level: "SHOULD",
    what: "An event that cannot be read costs none of the others in its delivery.",
    reason: "They would be lost with it, or be sent again and again.",
    source: TOLOKAS,
    needs: "report",
    run: async (s) => {
      const good = [s.event(), s.event()];
      const misfit = s.event({ type: "POOL_CLOSED", close_reason: undefined, event_time: 42 });
      await s.send({ events: [...good.slice(0, 1), misfit, ...good.slice(1)] });
      await s.handles(good.map(({ id }) => id));
    },
  },
  {
    id: "event-misfit",
    group: "events",
    providers: BOTH,
    level: "MUST",
    what: "An event whose fields are missing or of another type gets an answer, and so does a delivery without its other headers.",
    reason:
      "An endpoint that dies of it, or keeps silent, takes others with it. Which answer is a matter of taste.",
    source: `${TOLOKAS}; ${PROLIFICS}`,
    run: (s) => {
      const headers = s.provider.headers(s.event(), 0).map(([name]): Draft => ({ headers: [[name, ""]] }));
      return s.answersWith("any answer", ...misfits(s), ...headers);
    },
  },
  {
    id: "event-fields-twice",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "An event with a field that is there twice is answered below 500.",
    reason: NO_FAILURE,
    source: "RFC 8259, section 4: what a parser makes of it is open",
    run: (s) =>
      s.answersWith(
        "an answer below 500",
        withField(s, `"${s.provider.typeField}": "${s.provider.mainType}"`),
      ),
  },
  {
    id: "event-field-proto",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "An event with a field `__proto__` is answered below 500, and changes nothing for the next one.",
    reason: "Who merges it into an object may change all objects of the process.",
    source: "CWE-1321",
    run: async (s) => {
      await s.answersWith(
        "an answer below 500",
        ...['"__proto__": {"status": "x", "type": "x"}', '"constructor": {"prototype": {"type": "x"}}'].map(
          (field) => withField(s, field),
        ),
      );
      await s.accepts({});
    },
  },
  {
    id: "event-numbers-huge",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "An event with numbers that fit into no type is answered below 500.",
    reason: NO_FAILURE,
    source: PARSERS,
    run: (s) => s.answersWith("an answer below 500", ...HUGE.map((field) => withField(s, field))),
  },
  {
    id: "event-nested-deep",
    group: "events",
    providers: BOTH,
    level: "SHOULD",
    what: "An event that is nested 20,000 levels deep is answered below 500.",
    reason: NO_FAILURE,
    source: PARSERS,
    run: (s) => s.answersWith("an answer below 500", withField(s, nested(20_000))),
  },
];

import { SENDERS, type Sender, type SentEvent, signDelivery, testClock } from "@crowdhook/core/testing";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { identifiesBySignature, sendsManyEvents } from "../packages/audit/src/capabilities.js";
import { secretsOf } from "./defined-providers.js";
import type { Answer, Outgoing } from "./request.js";
import { APPS, type AppKind, CORE, type Mounting } from "./serve-provider.js";

/** A whole second, because some providers sign no milliseconds. */
export const NOW = 1_581_682_978_000;

/** The counts of a reply that handled nothing. */
export const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

export function contentOf(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.text);
}

/** A provider in an app. */
export interface Case {
  /** The provider's title, for test names. */
  readonly title: string;
  /** The name of the adapter, or `core`. */
  readonly name: string;
  readonly sender: Sender;
  readonly app: AppKind;
}

/** Every provider on core and on each adapter. */
export const CASES: readonly Case[] = SENDERS.flatMap((sender) =>
  [CORE, ...APPS].map((app) => ({ title: sender.provider.title, name: app.name, sender, app })),
);

/** Returns the positions that a test changes one by one. On a socket, three are enough. */
export function placesIn({ length }: { readonly length: number }, { app }: Case): number[] {
  const places = Array.from({ length }, (_, place) => place);
  return app === CORE ? places : [0, length >> 1, length - 1];
}

interface Signing {
  readonly secret: string;
  /** Default: one sample of the default type. */
  readonly events: readonly SentEvent[];
  /** Default: the body of the events. */
  readonly body: string | Uint8Array;
  /** Default: the time of the clock. */
  readonly timestamp: number;
}

/** A signed delivery. */
export interface Signed extends Outgoing {
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Returns functions that make events and deliveries of a provider. */
function deliveriesOf(sender: Sender, clock: () => number) {
  const { provider, defaultType } = sender;
  const [secret, otherSecret] = secretsOf(sender);
  const envelope = provider.definition?.envelope;
  const dataField = envelope?.data;
  const fieldsOf = (content: SentEvent["content"]) =>
    (dataField === undefined ? content : content[dataField]) as Readonly<Record<string, unknown>>;

  /** Returns a sample whose data has these fields, too. */
  function eventWith(fields: Readonly<Record<string, unknown>> = {}, type = defaultType): SentEvent {
    if (dataField === undefined) return sender.sample(type, fields);
    const event = sender.sample(type);
    return {
      ...event,
      content: { ...event.content, [dataField]: { ...fieldsOf(event.content), ...fields } },
    };
  }

  /** Returns `count` events of different types, or one event if the provider sends one event per delivery. */
  function upTo(count: number): readonly [SentEvent, ...SentEvent[]] {
    const others = provider.eventTypes.filter((type) => type !== defaultType).slice(0, count - 1);
    const further = sendsManyEvents(sender) ? others : [];
    return [eventWith(), ...further.map((type) => eventWith({}, type))];
  }

  /** Returns an event of a type that the provider does not have. */
  function eventOfType(type: string): SentEvent {
    const { id, content } = eventWith();
    return { id, content: { ...content, [sender.typeField]: type } };
  }

  /**
   * Returns a field, a value of the wrong type and the problem that the receiver reports. Assumes that the
   * type requires the sample's last field.
   */
  function misfit() {
    const time = envelope?.time && "field" in envelope.time ? envelope.time.field : undefined;
    const reserved = [sender.typeField, envelope?.id, time];
    const fields = Object.entries(fieldsOf(eventWith().content)).filter(
      ([name, value]) => !reserved.includes(name) && typeof value !== "object",
    );
    const [field = "", value] = fields.at(-1) ?? [];
    const wrong = typeof value === "string" ? 7 : "7";
    return { field, wrong, problem: `${field}: expected ${typeof value}` };
  }

  function signed({ body, ...options }: Partial<Signing> = {}): Signed {
    // `composeBody` may return bytes here, because `signDelivery` also signs bytes. Its type allows only text.
    const composed = body === undefined ? sender : { ...sender, composeBody: () => body as string };
    const { method, headers, ...rest } = signDelivery(composed, {
      secret,
      events: [eventWith()],
      timestamp: clock(),
      ...options,
    });
    return { method, headers: { ...headers }, ...rest };
  }

  /** Returns the id by which a receiver knows an event in a delivery that is signed now. */
  function idOf({ id }: SentEvent, { body }: Signed): string {
    if (!identifiesBySignature(sender)) return id;
    const digest = sender.computeDigest(secret, { time: sender.formatTime(clock()), version: "1", id }, body);
    return Buffer.from(digest, sender.digestEncoding).toString("hex");
  }

  return { secret, otherSecret, eventWith, eventOfType, upTo, misfit, fieldsOf, signed, idOf };
}

/**
 * Prepares a `describe` block for one case: sets the clock to `NOW` before each test, and closes the
 * started apps after it.
 */
export function prepare({ sender, app }: Case) {
  const { provider } = sender;
  const clock = testClock(NOW);
  const deliveries = deliveriesOf(sender, clock);
  const closing: (() => Promise<void>)[] = [];

  beforeEach(() => clock.set(NOW));
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(closing.splice(0).map((close) => close()));
  });

  /** Starts an app with several webhooks of the provider. */
  async function startAll(mountings: readonly Mounting[]) {
    const created = app.create();
    const webhooks: { webhook: Awaited<ReturnType<typeof created.mount>>; types: string[] }[] = [];
    for (const mounting of mountings) {
      const secret = "unsigned" in mounting ? undefined : deliveries.secret;
      const webhook = await created.mount(provider, { clock, ...(secret && { secret }), ...mounting });
      const types: string[] = [];
      webhook.onAny((event) => void types.push(event.type));
      webhooks.push({ webhook, types });
    }
    const { origin, send, close } = await created.listen();
    closing.push(close);
    return {
      webhooks,
      origin,
      send: (outgoing: Outgoing) => send({ path: provider.defaultPath, ...outgoing }),
    };
  }

  /** Starts an app with one webhook. `types` has the types of the events that reach its listeners. */
  async function start(options: Mounting = {}) {
    const {
      webhooks: [first],
      ...rest
    } = await startAll([options]);
    if (first === undefined) throw new Error("The app has no webhook.");
    return { ...first, ...rest };
  }

  /** Checks that an app answers, and that no other event than this one has reached a listener. */
  async function expectAlive({ send, types }: Awaited<ReturnType<typeof start>>) {
    const { signed, eventOfType } = deliveries;
    expect(await send(signed({ events: [eventOfType("STILL_ALIVE")] }))).toMatchObject({ status: 200 });
    expect(types).toEqual(["STILL_ALIVE"]);
  }

  return { ...deliveries, clock, start, startAll, expectAlive };
}

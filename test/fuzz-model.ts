import assert from "node:assert/strict";
import {
  type Claim,
  type ClaimStore,
  createReceiver,
  type ListenerContext,
  type MaybePromise,
  memoryClaims,
  type Provider,
  type ReceivedEvent,
  type Receiver,
  type Reply,
} from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, type TestClock, testClock, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import fc from "fast-check";
import { vi } from "vitest";
import { type ProviderName, sign } from "./fuzz-deliveries.js";

/** What a program runs on. */
export interface Setup {
  readonly provider: ProviderName;
  /**
   * Default: the receiver's own. Memory: `memoryClaims`, beside a plain store that must agree with it.
   * Async: a plain store that takes its turns when the scheduler says. The two fail when told to.
   */
  readonly store: "default" | "memory" | "async";
  readonly concurrency: number;
  readonly orderingKey: boolean;
  readonly isListenerAsync: boolean;
  /** Whether a listener takes what the receiver does not know. */
  readonly takesUnknown: boolean;
  readonly maxInFlight: number | undefined;
}

export const setups: fc.Arbitrary<Setup> = fc.record({
  provider: fc.constantFrom("toloka", "prolific"),
  store: fc.constantFrom("async", "memory", "default"),
  concurrency: fc.constantFrom(1, 2, 3),
  orderingKey: fc.boolean(),
  isListenerAsync: fc.boolean(),
  takesUnknown: fc.boolean(),
  maxInFlight: fc.constantFrom(undefined, 2),
});

const IDS = ["a", "b", "c", "constructor"];
const TOLERANCE = 300_000;
const LEASE = 30_000;
const DAY = 24 * 60 * 60 * 1000;
/** A store that has not answered by then has failed. */
const STORE_TIMEOUT = 3_000;
/** Longer than any signature can be replayed. */
const REPLAYABLE = 2 * TOLERANCE + 60_000;

/** An event to be. Misfit: of a known type, with data that does not fit it. */
interface Told {
  readonly id: string;
  readonly kind: "known" | "new" | "misfit";
  /** What it is about, which is the key of its order; with `orderingKey`, "z" is none. */
  readonly about: string;
}

const told: fc.Arbitrary<Told> = fc
  .record({
    id: fc.constantFrom(...IDS, ...IDS, ""),
    kind: fc.constantFrom("known", "known", "known", "new", "misfit"),
    about: fc.constantFrom("x", "y", "z"),
  })
  // What has no id does not fit.
  .map((event) => (event.id === "" ? { ...event, kind: "misfit" } : event));

interface Delivery {
  readonly events: readonly Told[];
  readonly secret: string;
  readonly signedAt: number;
  /** In hex; of Prolific only, where it stands for the delivery's event. */
  readonly signature: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

function deliveryOf(provider: ProviderName, events: readonly Told[], secret: string, now: number): Delivery {
  const isToloka = provider === "toloka";
  const [first] = events as [Told];
  const { lines, body } = sign(provider, secret, {
    signedAt: now,
    id: first.id,
    body: JSON.stringify(isToloka ? { events: events.map(tolokaEventOf) } : prolificEventOf(first)),
  });
  const headers = Object.fromEntries(lines);
  const signature = headers["x-prolific-request-signature"];
  return {
    events: isToloka ? events : [first],
    secret,
    // Prolific tells whole seconds.
    signedAt: isToloka ? now : Math.floor(now / 1000) * 1000,
    signature: signature && Buffer.from(signature, "base64").toString("hex"),
    headers,
    body,
  };
}

function tolokaEventOf({ id, kind, about }: Told): object {
  const event = tolokaEvent("ASSIGNMENT_SUBMITTED", {
    uuid: id,
    event_time: "2020-02-14T12:22:58",
    assignment_id: about,
  });
  if (kind === "new") return { ...event, type: "ASSIGNMENT_ARCHIVED" };
  return kind === "misfit" ? { ...event, task_suite_id: 7 } : event;
}

function prolificEventOf({ kind, about }: Told): object {
  const event = prolificEvent("submission.status.change", { resource_id: about });
  if (kind === "new") return { ...event, event_type: "submission.archived" };
  return kind === "misfit" ? { ...event, status: 7 } : event;
}

type State = "free" | "held" | "done";

/** Claims as `ClaimStore` defines them, in a Map. */
class PlainClaims {
  constructor(
    readonly clock: () => number,
    readonly all = new Map<string, { isDone: boolean; owner: string; until: number }>(),
  ) {}

  #get(key: string) {
    const claim = this.all.get(key);
    return claim && this.clock() < claim.until ? claim : undefined;
  }

  stateOf(key: string): State {
    const claim = this.#get(key);
    return claim === undefined ? "free" : claim.isDone ? "done" : "held";
  }

  claim(key: string, owner: string, lease: number): Claim {
    const claim = this.#get(key);
    if (claim?.isDone) return "done";
    if (claim && claim.owner !== owner) return "busy";
    this.all.set(key, { isDone: false, owner, until: this.clock() + lease });
    return "won";
  }

  settle(key: string, owner: string, ttl: number): boolean {
    const claim = this.#get(key);
    if (claim && (claim.isDone || claim.owner !== owner)) return false;
    this.all.set(key, { isDone: true, owner, until: this.clock() + ttl });
    return true;
  }

  release(key: string, owner: string): void {
    const claim = this.#get(key);
    if (claim && !claim.isDone && claim.owner === owner) this.all.delete(key);
  }
}

/** A store that answers at once. */
type Store = Pick<PlainClaims, "claim" | "settle" | "release">;

type Operation = "bind" | "claim" | "settle" | "settle binding" | "release";
/**
 * Whether a call fails before it has its effect or after; or it throws, rather than rejects; or it has
 * its effect, and is answered, when nobody waits for it any longer.
 */
type When = "before" | "after" | "at once" | "late";

/** What is to fail: by event, so that it does not matter in what order events are handled. */
class Failures {
  readonly listeners = new Map<string, number>();
  readonly store = new Map<string, When>();

  takeListener(id: string): boolean {
    const left = this.listeners.get(id) ?? 0;
    if (left > 0) this.listeners.set(id, left - 1);
    return left > 0;
  }

  takeStore(operation: Operation, id: string): When | undefined {
    const when = this.store.get(`${operation} ${id}`);
    this.store.delete(`${operation} ${id}`);
    return when;
  }

  isLateNext(): boolean {
    return [...this.store.values()].includes("late");
  }

  copy({ listeners, store }: Failures): void {
    this.clear();
    for (const [id, left] of listeners) this.listeners.set(id, left);
    for (const [call, when] of store) this.store.set(call, when);
  }

  clear(): void {
    this.listeners.clear();
    this.store.clear();
  }
}

type Outcome = "handled" | "unrecognized" | "ignored" | "duplicate" | "failed" | "busy" | "claim_failed";

function isSuccess(outcome: Outcome): boolean {
  return outcome === "handled" || outcome === "unrecognized" || outcome === "duplicate";
}

/** The answer that these outcomes add up to. `isUnsettled`: the store failed after one of them. */
function answerTo(outcomes: readonly Outcome[], isUnsettled: boolean): object {
  const count = (of: Outcome) => outcomes.filter((outcome) => outcome === of).length;
  const counts = {
    handled: count("handled"),
    ignored: count("ignored"),
    duplicate: count("duplicate"),
    failed: count("failed"),
    busy: count("busy"),
    unrecognized: count("unrecognized"),
  };
  if (counts.failed > 0) return { code: "EVENT_FAILED", ...counts };
  if (isUnsettled || count("claim_failed") > 0) return { code: "STORE_UNAVAILABLE", ...counts };
  return counts.busy > 0 ? { code: "EVENT_BUSY", ...counts } : counts;
}

/** What should become of deliveries that come one after another. */
class Model {
  readonly clock = testClock(1_700_000_000_000);
  secrets = ["secret 0"];
  readonly sent: Delivery[] = [];
  readonly failures = new Failures();
  claims = new PlainClaims(this.clock);
  #turns = 0;
  #isUnsettled = false;

  constructor(readonly setup: Setup) {}

  /** Why a delivery is not even read. */
  refusalOf({ secret, signedAt }: Delivery): string | undefined {
    if (!this.secrets.includes(secret)) return "SIGNATURE_MISMATCH";
    if (Math.abs(this.clock() - signedAt) > TOLERANCE) return "TIMESTAMP_OUT_OF_TOLERANCE";
    return undefined;
  }

  /** Takes what the order of what came together has made of it. */
  learn({ claims, failures }: World): void {
    this.claims = new PlainClaims(
      this.clock,
      new Map([...claims.all].map(([key, claim]) => [nameOf(key), { ...claim }])),
    );
    this.failures.copy(failures);
  }

  receive(delivery: Delivery): object {
    const code = this.refusalOf(delivery);
    if (code) return { code };
    const known = new Map<string, Outcome>();
    this.#isUnsettled = false;
    const outcomes = delivery.events.map((event) => {
      const shared = event.id === "" ? undefined : known.get(event.id);
      const outcome = shared ? (isSuccess(shared) ? "duplicate" : shared) : this.#handle(event, delivery);
      known.set(event.id, outcome);
      return outcome;
    });
    return answerTo(outcomes, this.#isUnsettled);
  }

  #handle({ id, kind }: Told, { signature }: Delivery): Outcome {
    // What has no id is claimed by its signature, and by nothing where that may stand for several.
    const key = id || (signature && `without-id ${signature}`);
    const owner = `turn ${this.#turns++}`;
    if (signature) {
      const bound = this.#ask("bind", id, () => this.claims.claim(signature, id, REPLAYABLE));
      if (bound !== "won") return bound === "done" ? "duplicate" : (bound ?? "claim_failed");
    }
    const release = () => this.#ask("release", id, () => key && this.claims.release(key, owner));
    if (key) {
      // What is granted too late is given back.
      const giveBack = (late: Claim) => late === "won" && release();
      const claim = this.#ask("claim", id, () => this.claims.claim(key, owner, LEASE), giveBack);
      if (claim !== "won") return claim === "done" ? "duplicate" : (claim ?? "claim_failed");
    }
    // An event that no listener takes is not done, so its claim is released like that of a failed one.
    const isIgnored = kind === "new" && !this.setup.takesUnknown;
    if (isIgnored || !this.#succeeds(id, kind)) {
      if (key) release();
      return isIgnored ? "ignored" : "failed";
    }
    const settled = key ? this.#ask("settle", id, () => this.claims.settle(key, owner, DAY)) : true;
    if (signature) this.#ask("settle binding", id, () => this.claims.settle(signature, id, REPLAYABLE));
    this.#isUnsettled ||= settled === undefined;
    return kind === "known" ? "handled" : "unrecognized";
  }

  #succeeds(id: string, kind: Told["kind"]): boolean {
    if (kind === "misfit" && !this.setup.takesUnknown) return false;
    return !this.failures.takeListener(id);
  }

  #ask<T>(operation: Operation, id: string, call: () => T, onLate?: (answer: T) => void): T | undefined {
    const fails = this.failures.takeStore(operation, id);
    if (fails === "before" || fails === "at once") return undefined;
    const answer = call();
    if (fails === "late") onLate?.(answer);
    return fails ? undefined : answer;
  }
}

/** A listener's run for one event. */
interface Run {
  readonly id: string;
  readonly about: string;
  readonly receiver: number;
  /** The delivery, counted within its command. */
  readonly nth: number;
  readonly isKnown: boolean;
  readonly begun: number;
  ended: number;
  succeeded: boolean;
}

/** The receivers, as two processes that share a store. */
class World {
  readonly failures = new Failures();
  readonly claims: PlainClaims;
  receivers: Receiver[];
  runs: Run[] = [];
  /** How often the store was told to fail, and did. */
  storeFailures = 0;
  /** What `memoryClaims` answered, and the plain store otherwise. */
  readonly #disagreements: string[] = [];
  readonly #store: ClaimStore | undefined;
  readonly #inFlight: number[] = [0, 0];
  /** Has calls that are late go on. */
  readonly #late: (() => void)[] = [];
  #isClosing = false;
  #steps = 0;

  constructor(
    readonly setup: Setup,
    readonly clock: TestClock,
    readonly secrets: () => string[],
    readonly scheduler: fc.Scheduler,
  ) {
    this.claims = new PlainClaims(clock);
    this.#store = setup.store === "default" ? undefined : this.#failing(this.#backing());
    this.receivers = this.#open();
  }

  #open(): Receiver[] {
    const { setup } = this;
    // Without a store that they share, there can be but one.
    return Array.from({ length: this.#store ? 2 : 1 }, (_, i) => {
      const receiver = createReceiver(PROVIDERS[setup.provider], {
        secret: this.secrets,
        clock: this.clock,
        claims: this.#store,
        concurrency: setup.concurrency,
        ...(setup.orderingKey && { orderingKey: keyOf }),
        maxInFlight: setup.maxInFlight,
      });
      const listener = (event: ReceivedEvent, context: ListenerContext) => this.#listen(i, event, context);
      receiver.on(receiver.provider.eventTypes, listener);
      if (setup.takesUnknown) receiver.onUnrecognized(listener);
      return receiver;
    });
  }

  /** Why a receiver does not even look at a delivery that comes now. */
  refusalOf(receiver: number): string | undefined {
    if (this.#isClosing) return "SHUTTING_DOWN";
    const underWay = this.#inFlight[receiver] ?? 0;
    return underWay >= (this.setup.maxInFlight ?? Number.POSITIVE_INFINITY) ? "OVERLOADED" : undefined;
  }

  async handle({ headers, body }: Delivery, nth: number, receiver: number): Promise<Reply> {
    const counts = this.refusalOf(receiver) === undefined ? 1 : 0;
    this.#inFlight[receiver] = (this.#inFlight[receiver] ?? 0) + counts;
    const target = this.receivers[receiver] as Receiver;
    const incoming = { method: "POST", headers: { ...headers, "x-nth": String(nth) }, body };
    try {
      return await target.handle(incoming);
    } finally {
      this.#inFlight[receiver] -= counts;
    }
  }

  async reopen(): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.receivers.map((receiver) => receiver.close()));
    this.receivers = this.#open();
    this.#isClosing = false;
  }

  /**
   * Has the scheduler go on until this is there, and time pass where the store is late. Throws if it
   * waits for what never comes, or leaves something behind.
   */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isThere = false;
    const waited = this.scheduler.waitFor(
      promise.finally(() => {
        isThere = true;
      }),
    );
    waited.catch(() => {});
    for (let waits = 0; ; ) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isThere) break;
      if (this.scheduler.count() > 0) continue;
      assert.ok(waits++ < this.#late.length, "something waits for what never comes");
      vi.advanceTimersByTime(STORE_TIMEOUT);
    }
    // What is replied means that nothing is still to be settled or released.
    assert.equal(this.scheduler.count(), 0);
    for (const goOn of this.#late.splice(0)) goOn();
    await this.scheduler.waitIdle();
    assert.ok(this.runs.every(({ ended }) => ended < Number.POSITIVE_INFINITY));
    assert.deepEqual(this.#disagreements, []);
    return waited;
  }

  #listen(receiver: number, event: ReceivedEvent, { delivery }: ListenerContext): unknown {
    const nth = Number(delivery.headers.get("x-nth"));
    const run: Run = {
      id: event.id,
      about: String(aboutOf(event)),
      receiver,
      nth,
      isKnown: event.problems === undefined,
      begun: this.#steps++,
      ended: Number.POSITIVE_INFINITY,
      succeeded: false,
    };
    this.runs.push(run);
    const end = () => {
      run.ended = this.#steps++;
      run.succeeded = !this.failures.takeListener(run.id);
      if (!run.succeeded) throw new Error("the listener failed");
    };
    return this.setup.isListenerAsync ? this.turn(`listener of ${run.id}`).then(end) : end();
  }

  turn(label: string): Promise<void> {
    return this.scheduler.schedule(Promise.resolve(), label);
  }

  #backing(): Store {
    const { claims, clock } = this;
    if (this.setup.store === "async") return claims;
    const memory = memoryClaims({ clock });
    const agree = <T>(call: string, key: string, ours: MaybePromise<T>, plain: T): T => {
      // Asked by another, for no time: that changes nothing.
      const state = { free: "won", held: "busy", done: "done" }[claims.stateOf(key)];
      const [answers, after] = [ours === plain, memory.claim(key, "another", 0)];
      if (!answers || after !== state) this.#disagreements.push(`${call}: ${ours}, then ${after}`);
      return plain;
    };
    return {
      claim: (...args) => agree(`claim(${args})`, args[0], memory.claim(...args), claims.claim(...args)),
      settle: (...args) => agree(`settle(${args})`, args[0], memory.settle(...args), claims.settle(...args)),
      release: (...args) =>
        agree(`release(${args})`, args[0], memory.release(...args), claims.release(...args)),
    };
  }

  /** A store that fails when it is told to and, if it is async, acts and answers when the scheduler says. */
  #failing(store: Store): ClaimStore {
    const call = <T>(name: "claim" | "settle" | "release", key: string, owner: string, effect: () => T) => {
      // A signature is claimed for an id, or for none.
      const binds = owner === "" || IDS.includes(owner);
      const id = binds ? owner : IDS.includes(nameOf(key)) ? nameOf(key) : "";
      const ofBinding = { claim: "bind", settle: "settle binding", release: "release" } as const;
      const fails = this.failures.takeStore(binds ? ofBinding[name] : name, id);
      if (fails) this.storeFailures++;
      const fail = (now: When) => {
        if (fails === now) throw new Error("the store failed");
      };
      fail("at once");
      if (this.setup.store === "memory") {
        fail("before");
        const answer = effect();
        fail("after");
        return answer;
      }
      const label = `${name} ${nameOf(key)}`;
      return this.turn(label).then(async () => {
        fail("before");
        if (fails === "late") await new Promise<void>((resolve) => this.#late.push(resolve));
        const answer = effect();
        await this.turn(`${label} answered`);
        fail("after");
        return answer;
      });
    };
    return {
      claim: (key, owner, lease) => call("claim", key, owner, () => store.claim(key, owner, lease)),
      settle: (key, owner, ttl) => call("settle", key, owner, () => store.settle(key, owner, ttl)),
      release: (key, owner) => call("release", key, owner, () => store.release(key, owner)),
    };
  }
}

const PROVIDERS = { toloka, prolific } as unknown as Record<ProviderName, Provider>;

function aboutOf({ data }: ReceivedEvent): string | undefined {
  return (data.assignment_id ?? data.resource_id) as string | undefined;
}

function keyOf(event: ReceivedEvent): string | undefined {
  const about = aboutOf(event);
  return about === "z" ? undefined : about;
}

/** What a key of the receiver's claims stands for: an event's id, or a signature in hex. */
function nameOf(key: string): string {
  const [, kind, digest] = /(without-id|signature):([0-9a-f]{64})$/.exec(key) ?? [];
  if (digest !== undefined) return kind === "signature" ? digest : `${kind} ${digest}`;
  return key.slice(key.lastIndexOf(":") + 1);
}

interface Item {
  /** A new delivery of these; or one that came before. */
  readonly events?: readonly Told[];
  readonly again?: number;
  /** Prolific: under this id, as whoever captured it could send it. */
  readonly as?: string | undefined;
  readonly receiver: number;
}

const receiver = fc.constantFrom(0, 0, 1);
const item: fc.Arbitrary<Item> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ events: fc.array(told, { minLength: 1, maxLength: 5 }), receiver }) },
  { weight: 2, arbitrary: fc.record({ again: fc.nat({ max: 20 }), receiver }) },
  {
    weight: 1,
    arbitrary: fc.record({ again: fc.nat({ max: 20 }), as: fc.constantFrom(...IDS), receiver }),
  },
);

/** The delivery itself; `undefined` if there was none yet to send again. */
function find({ events, again = 0, as }: Item, { setup, sent, secrets, clock }: Model): Delivery | undefined {
  if (events) {
    const delivery = deliveryOf(setup.provider, events, secrets.at(-1) as string, clock());
    sent.push(delivery);
    return delivery;
  }
  const known = sent[again % Math.max(1, sent.length)];
  const [event] = known?.events ?? [];
  if (known === undefined || event === undefined || as === undefined || known.signature === undefined)
    return known;
  return { ...known, events: [{ ...event, id: as }], headers: { ...known.headers, "x-event-id": as } };
}

function answerIn({ body }: Reply): { code?: string } & Record<string, number> {
  const { message: _, ...answer } = JSON.parse(body);
  return answer;
}

/** What is known of the claims, by what they are of. */
function statesOf({ claims }: World): (name: string) => State {
  const states = new Map([...claims.all.keys()].map((key) => [nameOf(key), claims.stateOf(key)]));
  return (name) => states.get(name) ?? "free";
}

async function deliver(delivery: Delivery, receiver: number, model: Model, world: World): Promise<object> {
  const expected = model.receive(delivery);
  const reply = await world.until(world.handle(delivery, 0, receiver % world.receivers.length));
  assert.deepEqual(answerIn(reply), expected);
  assert.deepEqual(world.failures, model.failures);
  if (model.setup.store !== "default") {
    const states = statesOf(world);
    const inTime = model.sent.filter((sent) => model.refusalOf(sent) === undefined);
    for (const name of [...IDS, ...inTime.flatMap(({ signature = [] }) => signature)]) {
      assert.deepEqual([name, states(name)], [name, model.claims.stateOf(name)]);
    }
  }
  return expected;
}

interface Together {
  readonly items: readonly Item[];
  /** An event whose next listener fails. */
  readonly failing: string | undefined;
  /** Whether they come when the scheduler says, rather than all at once. */
  readonly staggered: boolean;
  /** Whether the leases of what is under way run out by the store's clock. */
  readonly lapse: boolean;
  /** Whether the receivers are closed meanwhile. */
  readonly close: boolean;
}

/** What was seen of deliveries that came together. */
interface Seen {
  readonly sent: readonly (Delivery & { readonly receiver: number })[];
  /** The deliveries in the order in which they came, and what each was to be refused with then. */
  readonly arrived: number[];
  readonly refusals: Map<number, string | undefined>;
  readonly answers: readonly ReturnType<typeof answerIn>[];
  readonly runs: readonly Run[];
  /** What was known of a claim before, and is now. */
  readonly before: (name: string) => State;
  readonly after: (name: string) => State;
  readonly storeFailed: boolean;
  readonly lapse: boolean;
  readonly setup: Setup;
}

async function deliverTogether(
  { items, failing, staggered, lapse, close }: Together,
  model: Model,
  world: World,
): Promise<void> {
  const sent = items.flatMap((item) => {
    const delivery = find(item, model);
    return delivery ? [{ ...delivery, receiver: item.receiver % world.receivers.length }] : [];
  });
  if (failing !== undefined) world.failures.listeners.set(failing, 1);
  const before = statesOf(world);
  const [firstRun, storeFailures] = [world.runs.length, world.storeFailures];

  const arrived: number[] = [];
  const refusals = new Map<number, string | undefined>();
  const handled = sent.map(async (delivery, nth) => {
    if (staggered) await world.turn(`delivery ${nth}`);
    arrived.push(nth);
    refusals.set(nth, world.refusalOf(delivery.receiver) ?? model.refusalOf(delivery));
    return world.handle(delivery, nth, delivery.receiver);
  });
  const lapsed = lapse && world.turn("the leases run out").then(() => world.clock.advance(LEASE + 1));
  const closed = async () => {
    if (staggered) await world.turn("close");
    await world.reopen();
    return world.runs.filter(({ ended }) => ended === Number.POSITIVE_INFINITY);
  };
  const [replies, , runningAtClose] = await world.until(
    Promise.all([Promise.all(handled), lapsed, close ? closed() : []]),
  );
  assert.deepEqual(runningAtClose, []);

  const seen: Seen = {
    sent,
    arrived,
    refusals,
    answers: replies.map(answerIn),
    runs: world.runs.slice(firstRun),
    before,
    after: statesOf(world),
    storeFailed: world.storeFailures > storeFailures,
    lapse,
    setup: world.setup,
  };
  assertOnce(seen);
  assertAnswers(seen);
  assertOrder(seen);
  model.learn(world);
}

/** No event is handled twice, beside itself, or after it is done; and its claim tells how it ended. */
function assertOnce({ sent, runs, before, after, storeFailed, lapse }: Seen): void {
  const isAlone = new Set(sent.map(({ receiver }) => receiver)).size === 1;
  for (const id of IDS) {
    const its = runs.filter((run) => run.id === id);
    // A lease that has run out lets another process in; and this one again, if it could not settle.
    if (!lapse || isAlone) assert.ok(areApart(its), `${id} ran beside itself`);
    if (lapse && (!isAlone || storeFailed)) continue;
    const again = its.slice(0, -1).filter(({ succeeded }) => succeeded);
    assert.deepEqual(again, [], `${id} ran after it had succeeded`);
    if (lapse) continue;
    if (before(id) !== "free") assert.deepEqual(its, [], `${id} was another's, or done`);
    else if (!storeFailed) assert.notEqual(after(id), "held", `the claim of ${id} is left behind`);
    if (!storeFailed && its.at(-1)?.succeeded) assert.equal(after(id), "done");
  }
}

/** Each reply says what became of its events. */
function assertAnswers({
  sent,
  refusals,
  answers,
  runs,
  before,
  after,
  storeFailed,
  lapse,
  setup,
}: Seen): void {
  for (const [nth, { events, signature }] of sent.entries()) {
    const { code, ...counts } = answers[nth] as ReturnType<typeof answerIn>;
    const refusal = refusals.get(nth);
    if (refusal) {
      assert.deepEqual({ code, ...counts }, { code: refusal });
      continue;
    }
    const { ignored = 0, failed = 0, busy = 0 } = counts;
    if (setup.takesUnknown) assert.equal(ignored, 0);
    assert.equal(code === "EVENT_FAILED", failed > 0);
    if (code === "STORE_UNAVAILABLE") assert.ok(storeFailed);
    else if (code !== "EVENT_FAILED") assert.equal(code, busy > 0 ? "EVENT_BUSY" : undefined);

    const isOwn = ({ id }: { id: string }) => events.some((event) => event.id === id);
    if (failed > 0) {
      const isUnheard = (event: Told) => event.kind === "misfit" && !setup.takesUnknown && isOwn(event);
      const unheard = sent.flatMap((delivery) => delivery.events.filter(isUnheard));
      assert.ok(unheard.length > 0 || runs.some((run) => !run.succeeded && isOwn(run)));
    }
    if (storeFailed) continue;
    assert.equal(
      Object.values(counts).reduce((sum, count) => sum + count, 0),
      events.length,
    );
    if (lapse) continue;
    const isAlone = new Set(sent.map(({ receiver }) => receiver)).size === 1;
    const areFree = !signature && events.every(({ id }) => before(id) === "free");
    if (isAlone && areFree) assert.equal(busy, 0);
    if (code !== undefined) continue;
    const isDone = ({ id }: Told) => [id, signature].some((name) => name && after(name) === "done");
    const undone = events.filter((event) => event.id !== "" && !isDone(event));
    assert.ok(undone.length <= ignored, `${undone[0]?.id} got a 200`);
    // An event of the same id that came with it can share its outcome.
    const ignorable = sent.flatMap((other) => other.events.filter(({ kind }) => kind === "new"));
    for (const { id } of undone) {
      assert.ok(!setup.takesUnknown && ignorable.some((event) => event.id === id), `${id} was ignored`);
    }
  }
  const counted = answers.reduce((sum, { handled = 0 }) => sum + handled, 0);
  const succeeded = runs.filter((run) => run.isKnown && run.succeeded).length;
  assert.equal(counted, succeeded);
}

/** Whether each of these ended before the next one began. */
function areApart(runs: readonly Run[]): boolean {
  return runs.every(({ begun }, i) => i === 0 || begun > (runs[i - 1] as Run).ended);
}

/** Events of one key, or else of one delivery, are handled one after another, as they came. */
function assertOrder({ sent, arrived, runs, setup: { concurrency, orderingKey } }: Seen): void {
  // Of events without an id it cannot be told which is which.
  const place = ({ id, nth }: Run) => [
    arrived.indexOf(nth),
    id === "" ? -1 : (sent[nth] as Delivery).events.findIndex((event) => event.id === id),
  ];
  const assertInOrder = (group: readonly Run[], of: string) => {
    assert.ok(areApart(group), `events of one ${of} ran side by side`);
    const places = group.map(place).filter(([, i]) => i !== -1);
    assert.deepEqual(
      places,
      [...places].sort(([a = 0, i = 0], [b = 0, j = 0]) => a - b || i - j),
      of,
    );
  };
  if (concurrency > 1 || orderingKey) {
    const inOrder = orderingKey ? runs.filter(({ about }) => about !== "z") : runs;
    for (const group of groups(inOrder, ({ receiver, about }) => `${receiver} ${about}`)) {
      assertInOrder(group, "key");
    }
  }
  for (const group of groups(runs, ({ nth }) => String(nth))) {
    if (concurrency === 1) assertInOrder(group, "delivery");
    for (const { begun } of group) {
      const underWay = group.filter((run) => run.begun <= begun && run.ended > begun);
      assert.ok(underWay.length <= concurrency, "more events ran at once than were allowed");
    }
  }
}

function groups(runs: readonly Run[], nameOf: (run: Run) => string): Iterable<readonly Run[]> {
  const byName = new Map<string, Run[]>();
  for (const run of runs) byName.set(nameOf(run), [...(byName.get(nameOf(run)) ?? []), run]);
  return byName.values();
}

/** A command of a program, made of any input; a failing one is printed with it. */
function command<Input>(
  name: string,
  input: fc.Arbitrary<Input>,
  run: (input: Input, model: Model, world: World) => Promise<unknown>,
  suits: (setup: Setup) => boolean = () => true,
): fc.Arbitrary<fc.AsyncCommand<Model, World>> {
  return input.map((given) => ({
    check: ({ setup }) => suits(setup),
    run: async (model, world) => void (await run(given, model, world)),
    toString: () => `${name}(${fc.stringify(given)})`,
  }));
}

const deliverOne = command("deliver", item, async (given, model, world) => {
  const delivery = find(given, model);
  if (delivery) await deliver(delivery, given.receiver, model, world);
});

const deliverSome = command(
  "deliverTogether",
  fc.record({
    items: fc.array(item, { minLength: 2, maxLength: 3 }),
    failing: fc.option(fc.constantFrom(...IDS), { nil: undefined }),
    staggered: fc.boolean(),
    lapse: fc.boolean(),
    close: fc.constantFrom(false, false, false, true),
  }),
  deliverTogether,
  ({ store }) => store !== "default",
);

const failListener = command(
  "failListener",
  fc.tuple(fc.constantFrom(...IDS), fc.integer({ min: 1, max: 3 })),
  async ([id, times], model, world) => {
    for (const { failures } of [model, world]) failures.listeners.set(id, times);
  },
);

const failStore = command(
  "failStore",
  fc.tuple(
    fc.constantFrom<Operation>("bind", "claim", "settle", "settle binding", "release"),
    fc.constantFrom(...IDS),
    fc.constantFrom<When>("before", "after", "at once", "late"),
  ),
  async ([operation, id, when], model, world) => {
    // What answers at once is never late. With one call late at a time, no claim has to be renewed meanwhile.
    if (when === "late" && (model.setup.store !== "async" || model.failures.isLateNext())) return;
    for (const { failures } of [model, world]) failures.store.set(`${operation} ${id}`, when);
  },
  ({ store }) => store !== "default",
);

const tick = command(
  "tick",
  fc.constantFrom(1_000, LEASE - 1, LEASE, TOLERANCE, TOLERANCE + 1, DAY - 1, DAY),
  async (milliseconds, model) => model.clock.advance(milliseconds),
);

const rotate = command("rotate", fc.constant("secrets"), async (_, model) => {
  model.secrets = [...model.secrets.slice(-1), `secret ${model.sent.length} ${model.clock()}`];
});

const reopen = command("reopen", fc.constant("receivers"), async (_, model, world) => {
  const [receiver] = world.receivers;
  await world.reopen();
  const reply = await receiver?.handle({ method: "POST", headers: {}, body: "" });
  assert.deepEqual(reply && answerIn(reply), { code: "SHUTTING_DOWN" });
  if (model.setup.store === "default") model.claims = new PlainClaims(model.clock);
});

export const programs = fc.commands(
  [deliverOne, deliverOne, deliverSome, deliverSome, failListener, failStore, tick, rotate, reopen],
  { maxCommands: 16, size: "medium" },
);

/** Runs a program on both, and in the end has all that came delivered again: what had failed is handled then. */
export async function run(
  setup: Setup,
  program: Iterable<fc.AsyncCommand<Model, World>>,
  scheduler: fc.Scheduler,
): Promise<void> {
  const model = new Model(setup);
  const world = new World(setup, model.clock, () => model.secrets, scheduler);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  try {
    await fc.asyncModelRun(() => ({ model, real: world }), program);
    await deliverAllAgain(model, world);
  } finally {
    vi.useRealTimers();
  }
}

async function deliverAllAgain(model: Model, world: World): Promise<void> {
  for (const { failures } of [model, world]) failures.clear();
  model.clock.advance(LEASE);
  const ids = new Set(model.sent.flatMap(({ events }) => events.map(({ id }) => id)).filter(Boolean));
  for (const id of ids) {
    model.clock.advance(1_000);
    const event: Told = { id, kind: "known", about: "x" };
    const secret = model.secrets.at(-1) as string;
    const last = deliveryOf(model.setup.provider, [event], secret, model.clock());
    assert.ok(!("code" in (await deliver(last, 0, model, world))), `${id} is lost`);
  }
}

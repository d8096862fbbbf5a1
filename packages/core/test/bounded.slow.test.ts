import { beforeEach, describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../../test/seeded-random.js";
import type { ReceivedEvent } from "../src/event.js";
import { verify } from "../src/index.js";
import { inspect } from "../src/inspect.js";
import type { ReceiverOptions } from "../src/options.js";
import type { Provider } from "../src/provider.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { signToloka, tolokaEvent } from "../src/testing.js";
import { contentOf, NOW, receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

function lines(): string {
  return vi.mocked(console.error).mock.calls.join("\n");
}

const FIVE_MIB = 5 * 1024 * 1024;
const signedBody = (body: string) => signToloka({ secret: SECRET, timestamp: NOW, body });

describe("maxEvents", () => {
  const events = (count: number) => Array.from({ length: count }, () => tolokaEvent("POOL_CLOSED"));

  beforeEach(() => {
    vi.spyOn(console, "error").mockImplementation(() => {});
  });

  test.each<[number, ReceiverOptions]>([
    [10_000, {}],
    [3, { maxEvents: 3 }],
  ])("a delivery of %d events is handled, and one with an event more is refused", async (max, options) => {
    const receiver = receiverWith(options);
    const handled = vi.fn();
    receiver.onAny(handled);
    expect(contentOf(await receiver.handle(signed(...events(max))))).toMatchObject({ handled: max });
    handled.mockClear();
    const reply = await receiver.handle(signed(...events(max + 1)));
    expect([reply.status, contentOf(reply).code]).toEqual([400, "ENVELOPE_INVALID"]);
    expect(handled).not.toHaveBeenCalled();
    expect(lines()).toContain(
      `ENVELOPE_INVALID: a delivery has ${max + 1} events, and maxEvents is ${max}. None of them is handled.`,
    );
  });

  const own = (changes: Partial<Provider>): Provider =>
    ({
      ...toloka,
      countEvents: undefined,
      parseEvents: vi.fn((body: unknown) => toloka.parseEvents(body, new Headers(), 0)),
      ...changes,
    }) as Provider;

  test.each<[string, Provider]>([
    ["without countEvents", own({})],
    ["with countEvents", own({ countEvents: toloka.countEvents as Provider["countEvents"] & object })],
  ])("the receiver looks at no event of too many when the app brings a provider %s", async (_, provider) => {
    const receiver = createReceiver(provider, { secret: SECRET, clock: () => NOW, maxEvents: 2 });
    const reply = await receiver.handle(signed(...events(3)));
    expect(contentOf(reply).code).toBe("ENVELOPE_INVALID");
    expect(provider.parseEvents).not.toHaveBeenCalled();
    expect((await receiver.handle(signed(...events(2)))).status).toBe(200);
  });

  test("the limit holds for a provider that counts too few events", async () => {
    const provider = own({ countEvents: () => 0 });
    const receiver = createReceiver(provider, { secret: SECRET, clock: () => NOW, maxEvents: 2 });
    expect(contentOf(await receiver.handle(signed(...events(3)))).code).toBe("ENVELOPE_INVALID");
  });

  test("a list in a single event does not count", async () => {
    const receiver = receiverWith({ maxEvents: 1 });
    const assignment_ids = Array.from({ length: 20_000 }, (_, i) => `assignment-${i}`);
    const body = JSON.stringify(tolokaEvent("DYNAMIC_OVERLAP_COMPLETED", { assignment_ids }));
    expect((await receiver.handle(signedBody(body))).status).toBe(200);
  });

  test("verify and inspect refuse as many events as a receiver, and take the same option", async () => {
    const { headers, body } = signToloka({ secret: SECRET, events: events(10_001) });
    const delivery = { headers: new Headers(headers), body: new TextEncoder().encode(body) };
    await expect(verify(toloka, delivery, SECRET)).rejects.toMatchObject({
      code: "ENVELOPE_INVALID",
      reason: expect.stringContaining("10001 events, and maxEvents is 10000"),
    });
    expect(await verify(toloka, delivery, SECRET, { maxEvents: 10_001 })).toHaveLength(10_001);
    const secrets = [SECRET];
    expect(await inspect(toloka, delivery, { secrets })).toMatchObject({
      code: "ENVELOPE_INVALID",
      reason: expect.stringContaining("10001 events, and maxEvents is 10000"),
      events: [],
    });
    expect((await inspect(toloka, delivery, { secrets, maxEvents: 10_001 })).events).toHaveLength(10_001);
  });
});

/** Values that cost a validator or a store much, each of at most `size` bytes of JSON. */
const HOSTILE: readonly ((size: number) => string)[] = [
  (size) => `[${"0,".repeat(size / 2 - 2)}0]`,
  (size) => `[${"{},".repeat(size / 3 - 2)}{}]`,
  (size) => "[".repeat(size / 2) + "]".repeat(size / 2),
  (size) => `${'{"":'.repeat(size / 5 - 1)}0${"}".repeat(size / 5 - 1)}`,
  (size) => JSON.stringify("x".repeat(size - 2)),
  (size) => JSON.stringify("\u0000".repeat(size / 6 - 1)),
  (size) => JSON.stringify(Object.fromEntries(Array.from({ length: size / 16 }, (_, i) => [`k${i}`, i]))),
  () => "{}",
  () => "null",
];

/** Returns a delivery of valid events between hostile ones, of at most `maxBodySize`, and the ids of the valid ones. */
function hostileDelivery(random: () => number) {
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const valid: string[] = [];
  const events: string[] = [];
  let room = FIVE_MIB - 1_000;
  const add = (json: string) => {
    if (json.length + 1 > room) return false;
    room -= json.length + 1;
    events.push(json);
    return true;
  };
  for (let n = Math.floor(random() * 40); n >= 0; n--) {
    const uuid = `valid-${valid.length}`;
    const sample = tolokaEvent(pick(["POOL_CLOSED", "DYNAMIC_OVERLAP_COMPLETED"]), { uuid });
    if (add(JSON.stringify(sample))) valid.push(uuid);
    const hostile: Record<string, unknown> = { ...sample, uuid: `hostile-${n}` };
    const field = pick([...Object.keys(sample), "unknown", "__proto__"]);
    const value = pick(HOSTILE)(Math.floor(random() ** 4 * (room / 2)) + 64);
    add(JSON.stringify({ ...hostile, [field]: "HOSTILE" }).replace('"HOSTILE"', () => value));
    if (random() < 0.1) for (let empty = Math.floor(random() * 200); empty > 0; empty--) add("{}");
  }
  return { valid, body: `{"events":[${events.join()}]}` };
}

describe("any delivery of at most maxBodySize", () => {
  const seed = Number(process.env.FUZZ_SEED ?? 1);

  test.each(Array.from({ length: 12 }, (_, i) => seed + i))(
    "has each of its valid events handled, whatever the others are (seed %d)",
    async (seed) => {
      vi.spyOn(console, "error").mockImplementation(() => {});
      const { valid, body } = hostileDelivery(seededRandom(seed));
      expect(valid.length).toBeGreaterThan(0);
      const options = [{}, { detectStale: true }, { concurrency: 8 }][seed % 3];
      const receiver = receiverWith(options);
      const handled = new Set<string>();
      receiver.onAny(({ id, problems }) => problems === undefined && handled.add(id));
      const reply = await receiver.handle(signedBody(body));
      expect([200, 500]).toContain(reply.status);
      for (const id of valid) expect(handled).toContain(id);
      expect(lines().length).toBeLessThan(20_000);
    },
    60_000,
  );

  test.each(Array.from({ length: 4 }, (_, i) => seed + i))(
    "gives the sink each of its valid events, and keeps few and short problems (seed %d)",
    async (seed) => {
      vi.spyOn(console, "error").mockImplementation(() => {});
      const { valid, body } = hostileDelivery(seededRandom(seed));
      const stored: ReceivedEvent[] = [];
      // A queue writes all events as JSON, or none.
      const sink = {
        accept: (events: readonly ReceivedEvent[]) => void JSON.stringify(stored.push(...events) && events),
      };
      await receiverWith({ sink }).handle(signedBody(body));
      const ids = new Set(stored.map(({ id }) => id));
      for (const id of valid) expect(ids).toContain(id);
      for (const { problems = [] } of stored) {
        expect(problems.length).toBeLessThanOrEqual(10);
        for (const problem of problems) expect(problem.length).toBeLessThanOrEqual(255);
      }
    },
    60_000,
  );
});

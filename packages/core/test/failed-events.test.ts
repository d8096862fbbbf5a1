import { expect, test, vi } from "vitest";
import {
  createDurableSink,
  type DurableSink,
  type FailedFilter,
  type QueueEngine,
  type StoredFailure,
} from "../src/sink.js";

const at = (second: number) => new Date(second * 1000);

/** A sink whose engine knows only these failures. */
function sinkOf(failures: StoredFailure[]) {
  const remove = async (provider: string, eventId: string) => {
    const index = failures.findIndex((each) => each.provider === provider && each.jobId === eventId);
    if (index >= 0) failures.splice(index, 1);
    return index >= 0;
  };
  const engine = {
    failed: vi.fn(async (limit: number) => failures.slice(0, limit)),
    replay: vi.fn(remove),
    discard: vi.fn(remove),
    ready: vi.fn(async () => {}),
    close: async () => {},
  };
  const sink: DurableSink = createDurableSink(
    {},
    { name: "a sink", server: "It", createEngine: () => engine as unknown as QueueEngine },
  );
  return { sink, engine };
}

function failure(provider: string, jobId: string, type: string, second: number): StoredFailure {
  const data = { v: 1, provider, type, id: jobId, occurredAt: null, data: {} };
  return { provider, jobId, data, error: "broken", attempts: 3, failedAt: at(second) };
}

const all = () => [
  failure("toloka", "a", "POOL_CLOSED", 3),
  failure("toloka", "b", "ASSIGNMENT_SUBMITTED", 1),
  failure("prolific", "c", "POOL_CLOSED", 2),
  failure("toloka", "d", "POOL_CLOSED", 4),
];
const cases: [name: string, FailedFilter, ids: string[]][] = [
  ["no condition", {}, ["toloka:b", "prolific:c", "toloka:a", "toloka:d"]],
  ["a type", { type: "POOL_CLOSED" }, ["prolific:c", "toloka:a", "toloka:d"]],
  ["a provider", { provider: "toloka" }, ["toloka:b", "toloka:a", "toloka:d"]],
  ["before, which excludes its own time", { before: at(3) }, ["toloka:b", "prolific:c"]],
  ["since, which includes its own time", { since: at(3) }, ["toloka:a", "toloka:d"]],
  ["a type and a limit", { type: "POOL_CLOSED", limit: 2 }, ["prolific:c", "toloka:a"]],
];

test.each(cases)("failed, replay and discard select the same events by %s", async (_name, filter, ids) => {
  expect((await sinkOf(all()).sink.failed(filter)).map(({ id }) => id)).toEqual(ids);
  for (const method of ["replay", "discard"] as const) {
    const { sink, engine } = sinkOf(all());
    expect(await sink[method](filter)).toBe(ids.length);
    expect(engine[method].mock.calls.map((parts) => parts.join(":"))).toEqual(ids);
  }
});

test("failed lists at most 100 events by default, and replay takes all", async () => {
  const many = Array.from({ length: 150 }, (_, i) => failure("toloka", `e${i}`, "POOL_CLOSED", i));
  const { sink } = sinkOf(many);
  expect(await sink.failed()).toHaveLength(100);
  expect(await sink.failed({ type: "POOL_CLOSED" })).toHaveLength(100);
  expect(await sink.replay({})).toBe(150);
});

test("discard by id resolves with whether the event was found", async () => {
  const { sink } = sinkOf(all());
  expect(await sink.discard("toloka:a")).toBe(true);
  expect(await sink.discard("toloka:a")).toBe(false);
});

test.each([
  [{ typ: "POOL_CLOSED" }, "A filter has no typ"],
  [{ type: 7 }, "type must be a string"],
  [{ before: "2026-01-01" }, "before must be a valid Date"],
  [{ since: new Date(Number.NaN) }, "since must be a valid Date"],
  [{ limit: 0 }, "limit must be a positive whole number"],
])("a filter that cannot match, such as %j, selects no event", async (filter, message) => {
  const { sink, engine } = sinkOf(all());
  for (const method of ["failed", "replay", "discard"] as const) {
    await expect(sink[method](filter as never)).rejects.toThrow(message);
  }
  expect(engine.failed).not.toHaveBeenCalled();
});

test("ready waits for the engine, and an engine without it is ready", async () => {
  const { sink, engine } = sinkOf([]);
  await sink.ready();
  expect(engine.ready).toHaveBeenCalledOnce();
  await sink.close();
  await expect(sink.ready()).rejects.toThrow("closed");
});

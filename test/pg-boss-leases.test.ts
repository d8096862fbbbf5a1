import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createLeases } from "../packages/pg-boss/src/leases.js";

const LEASE_MS = 9_000;
const JOB = { id: "a", retryCount: 0, data: {} };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Holds one job. `answer` is what the database says to each renewal. */
function hold(answer: () => Promise<ReadonlySet<string>>) {
  const renew = vi.fn(answer);
  const leases = createLeases({ renew }, LEASE_MS, () => {});
  return { renew, leases, signal: leases.hold(JOB) };
}

const ours = async () => new Set(["a"]);
const unreachable = async () => {
  throw new Error("the database is down");
};
/** A suspended machine: the wall clock goes on, the monotonic clock and the timers do not. */
const suspend = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds);

test("a lease that is renewed never ends", async () => {
  const { signal, renew, leases } = hold(ours);
  await vi.advanceTimersByTimeAsync(LEASE_MS * 5);
  expect(renew.mock.calls.length).toBeGreaterThanOrEqual(15);
  expect(signal.aborted).toBe(false);
  leases.close();
});

test("the signal aborts when the database cannot be reached for longer than the lease", async () => {
  const { signal, leases } = hold(unreachable);
  await vi.advanceTimersByTimeAsync(LEASE_MS);
  expect(signal.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(LEASE_MS / 3);
  expect(signal.reason).toMatchObject({ message: expect.stringContaining("could not be renewed") });
  leases.close();
});

test("the signal aborts when the database does not answer for longer than the lease", async () => {
  const { signal, leases } = hold(() => new Promise(() => {}));
  await vi.advanceTimersByTimeAsync(LEASE_MS + LEASE_MS / 3);
  expect(signal.aborted).toBe(true);
  leases.close();
});

test("after a suspension the lease is over by the wall clock, unless the database says that it holds", async () => {
  const lost = hold(unreachable);
  const held = hold(ours);
  suspend(LEASE_MS * 10);
  await vi.advanceTimersByTimeAsync(LEASE_MS / 3);
  expect(lost.signal.aborted).toBe(true);
  expect(held.signal.aborted).toBe(false);
  lost.leases.close();
  held.leases.close();
});

test("a wall clock that goes back does not prolong a lease", async () => {
  const { signal, leases } = hold(unreachable);
  suspend(-LEASE_MS * 10);
  await vi.advanceTimersByTimeAsync(LEASE_MS + LEASE_MS / 3);
  expect(signal.aborted).toBe(true);
  leases.close();
});

test("the signal aborts when another worker has taken over, and other jobs go on", async () => {
  const { signal, leases } = hold(async () => new Set(["b"]));
  const other = leases.hold({ ...JOB, id: "b" });
  await vi.advanceTimersByTimeAsync(LEASE_MS / 3);
  expect(signal.reason).toMatchObject({ message: expect.stringContaining("another worker took over") });
  expect(other.aborted).toBe(false);
  leases.close();
});

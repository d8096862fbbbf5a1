import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { ERRORS } from "../src/errors.js";
import { tolokaEvent } from "../src/testing.js";
import { receiverWith, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("reply", () => {
  test("every error message is ASCII that JSON does not escape, so that its length equals its Content-Length", () => {
    for (const { message } of Object.values(ERRORS)) expect(JSON.stringify(message)).toBe(`"${message}"`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
    for (const { message } of Object.values(ERRORS)) expect(message).toMatch(/^[\x00-\x7f]+$/);
  });

  test("the reply names the failure that the operator must fix when a redelivery alone fixes the others", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    store.claim("toloka:busy", "another process", 60_000);
    const broken = (): never => {
      throw new Error("broken");
    };
    const claims: ClaimStore = {
      ...store,
      claim: (key, ...rest) => (key.startsWith("toloka:claim_failed") ? broken() : store.claim(key, ...rest)),
      settle: (key, ...rest) =>
        key.startsWith("toloka:settle_failed") ? broken() : store.settle(key, ...rest),
    };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    receiver.onAny(({ id }) => (id.startsWith("failed") ? broken() : undefined));
    for (const [ids, content] of [
      [["handled", "busy"], { code: "EVENT_BUSY", handled: 1, busy: 1 }],
      [["claim_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 0, busy: 1 }],
      [["settle_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 1, busy: 1 }],
      [["claim_failed", "settle_failed 2"], { code: "STORE_UNAVAILABLE", handled: 1 }],
      [["failed", "claim_failed", "busy"], { code: "EVENT_FAILED", failed: 1, handled: 0, busy: 1 }],
      [["settle_failed 3", "failed"], { code: "EVENT_FAILED", failed: 1, handled: 1 }],
    ] as const) {
      const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
      expect(JSON.parse((await receiver.handle(signed(...events))).body)).toMatchObject(content);
    }
    const offered = receiverWith({ claims, sink: { accept: broken } });
    for (const [ids, content] of [
      [["a", "claim_failed", "busy"], { code: "SINK_UNAVAILABLE", handled: 0, busy: 1 }],
      [["claim_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 0, busy: 1 }],
    ] as const) {
      const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
      expect(JSON.parse((await offered.handle(signed(...events))).body)).toMatchObject(content);
    }
  });
});

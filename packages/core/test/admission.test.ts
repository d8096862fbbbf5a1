import { describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { closed, contentOf, deferred, receiverWith, signed } from "./deliveries.js";
import { virtualTime } from "./virtual-time.js";

describe("maxInFlight", () => {
  virtualTime();

  test("a delivery beyond maxInFlight gets 503 with its body unread, and its redelivery is handled", async () => {
    const receiver = receiverWith({ maxInFlight: 2 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = [receiver.handle(signed(closed("1"))), receiver.handle(signed(closed("2")))];
    const read = vi.fn();
    const refused = await receiver.handle({ ...signed(closed("3")), body: read });
    expect([refused.status, refused.headers["retry-after"], contentOf(refused)]).toEqual([
      503,
      "5",
      { code: "OVERLOADED", message: expect.any(String) },
    ]);
    expect(read).not.toHaveBeenCalled();
    open();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
    expect(contentOf(await receiver.handle(signed(closed("3"))))).toMatchObject({ handled: 1 });
  });

  test("maxInFlight counts a delivery whose body is still arriving, and no refused delivery", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ maxInFlight: 1 });
    receiver.onAny(() => {});
    for (let i = 0; i < 10; i++) {
      expect((await receiver.handle({ method: "GET", headers: {}, body: "" })).status).toBe(405);
      expect((await receiver.handle({ method: "POST", headers: {}, body: "x" })).status).toBe(401);
    }
    const { passed, open } = deferred();
    const { body, ...head } = signed(closed("slow"));
    const slow = receiver.handle({ ...head, body: async () => passed.then(() => body) });
    expect(contentOf(await receiver.handle(signed(closed("x")))).code).toBe("OVERLOADED");
    open();
    expect((await slow).status).toBe(200);
    expect((await receiver.handle(signed(closed("x")))).status).toBe(200);
  });

  test("the reply is SHUTTING_DOWN when a closing receiver is also full, and close resolves after the last reply", async () => {
    const receiver = receiverWith({ maxInFlight: 1 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    expect(contentOf(await receiver.handle(signed())).code).toBe("OVERLOADED");
    const ended = receiver.close();
    expect(contentOf(await receiver.handle(signed())).code).toBe("SHUTTING_DOWN");
    open();
    await ended;
    expect((await running).status).toBe(200);
  });
});

describe("close", () => {
  test("close refuses later deliveries with their bodies unread, and resolves when earlier ones have their replies", async () => {
    const receiver = receiverWith();
    let finish: (_?: unknown) => void = () => {};
    receiver.on(
      "POOL_CLOSED",
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    const running = receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    await vi.waitFor(() => expect(finish.length).toBe(1));
    const order: string[] = [];
    void running.then(() => order.push("replied"));
    const closed = receiver.close().then(() => order.push("closed"));
    const body = vi.fn();
    const refused = await receiver.handle({ ...signed(), body });
    expect([refused.status, refused.headers["retry-after"], JSON.parse(refused.body).code]).toEqual([
      503,
      "5",
      "SHUTTING_DOWN",
    ]);
    expect(body).not.toHaveBeenCalled();
    expect(order).toEqual([]);
    finish();
    await closed;
    expect((await running).status).toBe(200);
    expect(order.sort()).toEqual(["closed", "replied"]);
    await receiver.close();
    expect(JSON.parse((await receiver.handle(signed())).body).code).toBe("SHUTTING_DOWN");
  });

  test("close resolves at once when the receiver is idle", async () => {
    await receiverWith().close();
  });
});

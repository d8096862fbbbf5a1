import { type ClaimStore, memoryClaims } from "@crowdhook/core";
import { SENDERS, type Sender, testClock } from "@crowdhook/core/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { providerOn } from "./provider-on.js";
import { SERVE } from "./serve-provider.js";
import { contentOf, NOTHING, NOW } from "./started.js";

const DAY_MS = 24 * 60 * 60 * 1000;

const cases = SENDERS.flatMap((sender) =>
  SERVE.map(([adapter, serve]) => ({
    adapter,
    serve,
    sender: sender as Sender,
    title: sender.provider.title,
  })),
);

afterEach(() => void vi.restoreAllMocks());

// Which behaviours apply to a provider follows from what its scheme can do, never from its name.
describe.each(cases)("$title on @crowdhook/$adapter", ({ serve, sender }) => {
  const { provider, defaultType } = sender;
  const { secret, otherSecret, signed, start } = providerOn(sender, serve);
  const { headers: names, timestamp } = provider.signatureFormat;
  const header = names[0].toLowerCase();
  const signature = provider.definition?.signature;
  const hasOneSignature = signature === undefined || !("separator" in signature);

  test("an empty signature header counts as missing, and the reply to a forgery does not explain itself", async () => {
    const { send, types } = await start();
    const delivery = signed();
    const empty = await send({ ...delivery, headers: { ...delivery.headers, [header]: "" } });
    expect([empty.status, contentOf(empty).code]).toEqual([401, "SIGNATURE_MISSING"]);
    const forged = await send(signed({ secret: otherSecret }));
    expect(forged.status).toBe(401);
    expect(contentOf(forged)).toEqual({ code: "SIGNATURE_MISMATCH", message: expect.any(String) });
    expect(types).toEqual([]);
  });

  if (hasOneSignature)
    test("a signature header sent twice is refused, even when both are genuine", async () => {
      const { send, types } = await start();
      const delivery = signed();
      const genuine = String(delivery.headers?.[header]);
      expect(
        await send({ ...delivery, headers: { ...delivery.headers, [header]: [genuine, genuine] } }),
      ).toMatchObject({ status: 401 });
      expect(types).toEqual([]);
    });

  if (timestamp)
    test("a time of signing at the edge of the tolerance is accepted, and a second more is refused", async () => {
      const clock = testClock(Math.floor(NOW / 1000) * 1000);
      const { send } = await start({ clock });
      for (const side of [-1, 1]) {
        expect(await send(signed({ timestamp: clock() + side * 300_000 }))).toMatchObject({ status: 200 });
        const late = await send(signed({ timestamp: clock() + side * 301_000 }));
        expect(contentOf(late)).toMatchObject({ code: "TIMESTAMP_OUT_OF_TOLERANCE" });
      }
    });

  test("both secrets of a list are valid", async () => {
    const { send } = await start({}, [otherSecret, secret]);
    for (const each of [secret, otherSecret])
      expect(await send(signed({ secret: each }))).toMatchObject({ status: 200 });
  });

  test("a delivery gets 503 and nothing secret is logged when the secret function fails", async () => {
    const { send, log } = await start({}, () => Promise.reject(new Error("vault password hunter2")));
    const answer = await send(signed());
    expect([answer.status, contentOf(answer).code]).toEqual([503, "SECRET_UNAVAILABLE"]);
    expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
  });

  test("an encoded body gets 415, and a body of any Content-Type is handled", async () => {
    const { send } = await start();
    const encoded = signed();
    expect(
      await send({ ...encoded, headers: { ...encoded.headers, "content-encoding": "gzip" } }),
    ).toMatchObject({ status: 415 });
    for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
      const delivery = signed();
      expect(
        await send({ ...delivery, headers: { ...delivery.headers, "content-type": type } }),
      ).toMatchObject({ status: 200 });
    }
  });

  test("a signed body that is no envelope gets 400", async () => {
    const { send } = await start();
    for (const body of ["null", "[]", "1e999", "{}", `{"${sender.typeField}":1}`]) {
      const answer = await send(signed({ body }));
      expect([body, answer.status, contentOf(answer).code]).toEqual([body, 400, "ENVELOPE_INVALID"]);
    }
    expect(contentOf(await send(signed({ body: "{}{}" })))).toMatchObject({ code: "BODY_NOT_JSON" });
  });

  test("events with types that objects inherit are of unknown types", async () => {
    const { send, webhook } = await start();
    const unrecognized: unknown[] = [];
    webhook.onUnrecognized(({ type, problems }) => void unrecognized.push([type, problems]));
    const types = ["constructor", "__proto__", "toString"];
    for (const type of types) {
      const content = JSON.parse(JSON.stringify(sender.sample(defaultType).content));
      const answer = await send(
        signed({ events: [{ id: type, content: { ...content, [sender.typeField]: type } }] }),
      );
      expect(contentOf(answer)).toEqual({ ...NOTHING, unrecognized: 1 });
    }
    expect(unrecognized).toEqual(types.map((type) => [type, []]));
  });

  test("an error of a listener is in the log and not in the reply, and onError listeners that fail change nothing", async () => {
    const { send, webhook, log } = await start();
    webhook.on(defaultType as never, () => {
      throw new Error("hunter2");
    });
    const answer = await send(signed());
    expect([answer.status, contentOf(answer).code]).toEqual([500, "EVENT_FAILED"]);
    expect(answer.text).not.toContain("hunter2");
    expect(log.mock.calls.join()).toContain("hunter2");
    const last = vi.fn();
    webhook.onError(() => Promise.reject(new Error("second")));
    webhook.onError(last);
    expect(await send(signed())).toMatchObject({ status: 500 });
    expect(last).toHaveBeenCalledOnce();
  });

  test("a handled event is a duplicate for as long as its delivery can be replayed, and a day at least", async () => {
    const clock = testClock(NOW);
    const { send } = await start({ clock });
    const events = [sender.sample(defaultType)];
    const again = async () => contentOf(await send(signed({ events, timestamp: clock() })));
    expect(await again()).toMatchObject({ handled: 1 });
    clock.advance((timestamp ? 1 : 7) * DAY_MS - 1);
    expect(await again()).toMatchObject({ duplicate: 1 });
    clock.advance(1);
    expect(await again()).toMatchObject({ handled: 1 });
  });

  test("concurrent deliveries of one event run it once and share its outcome", async () => {
    const { send, webhook } = await start();
    let finish = () => {};
    const running = new Promise<void>((resolve) => {
      webhook.on(defaultType as never, () => {
        resolve();
        return new Promise<void>((done) => {
          finish = done;
        });
      });
    });
    const delivery = signed();
    const answers = Array.from({ length: 3 }, () => send(delivery));
    await running;
    finish();
    const counts = (await Promise.all(answers)).map(contentOf);
    expect(counts.map(({ handled }) => handled).sort()).toEqual([0, 0, 1]);
    expect(counts.map(({ duplicate }) => duplicate).sort()).toEqual([0, 1, 1]);
  });

  const rejects = () => Promise.reject(new Error("redis://:hunter2@store"));
  const storeThat = (broken: Partial<ClaimStore>): ClaimStore => ({ ...memoryClaims(), ...broken });

  test("a delivery gets 503 when the claim store fails, before and after its listener", async () => {
    const before = await start({ claims: storeThat({ claim: rejects }) });
    const refused = await before.send(signed());
    expect(contentOf(refused)).toMatchObject({ code: "STORE_UNAVAILABLE", ...NOTHING });
    expect(before.types).toEqual([]);
    const after = await start({ claims: storeThat({ settle: rejects }) });
    const unsettled = await after.send(signed());
    expect(contentOf(unsettled)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 1 });
    expect(refused.text + unsettled.text + after.log.mock.calls.join()).not.toContain("hunter2");
  });

  test("an event that another process holds gets 503 and is handled later", async () => {
    const store = memoryClaims();
    const claim = vi.fn(store.claim).mockReturnValueOnce("busy");
    const { send, types } = await start({ claims: { ...store, claim } });
    const delivery = signed();
    const answer = await send(delivery);
    expect([answer.status, contentOf(answer).code]).toEqual([503, "EVENT_BUSY"]);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
    expect(types).toEqual([defaultType]);
  });

  test("a sink gets an event once, and again when it failed", async () => {
    const accept = vi.fn().mockRejectedValueOnce(new Error("postgres://:hunter2@sink"));
    const { send, types, log } = await start({ sink: { accept } });
    const delivery = signed();
    const answer = await send(delivery);
    expect([answer.status, contentOf(answer).code]).toEqual([503, "SINK_UNAVAILABLE"]);
    expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, duplicate: 1 });
    expect(accept).toHaveBeenCalledTimes(2);
    expect(types).toEqual([]);
  });
});

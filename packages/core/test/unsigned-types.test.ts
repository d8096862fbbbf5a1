import { createHmac } from "node:crypto";
import { beforeEach, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { createReceiver, defineProvider, memoryClaims, type ProviderDefinition } from "../src/index.js";
import { testClock } from "../src/testing.js";

const SECRET = "s3cret";
const clock = testClock();

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

type Envelope = ProviderDefinition["envelope"];

function provider(envelope: Partial<Envelope>, separator?: string) {
  return defineProvider({
    name: "acme",
    signature: {
      header: "Acme-Signature",
      encoding: "hex",
      prefix: "v1=",
      ...(separator !== undefined && { separator }),
      signs: "{body}",
    },
    envelope: { type: { header: "Acme-Type" }, id: "id", ...envelope },
    events: { approved: z.object({}), rejected: z.object({}) },
  });
}

function signed(body: object, headers: Readonly<Record<string, string>> = {}) {
  const text = JSON.stringify(body);
  const digest = createHmac("sha256", SECRET).update(text).digest("hex");
  const all = { "acme-type": "rejected", "acme-id": "id-1", "acme-signature": `v1=${digest}`, ...headers };
  return { method: "POST", headers: all, body: text };
}

type Request = ReturnType<typeof signed>;
const withHeaders = (request: Request, headers: Readonly<Record<string, string>>) => ({
  ...request,
  headers: { ...request.headers, ...headers },
});

describe.each<[string, Partial<Envelope>, object, string?]>([
  ["an unsigned id", { id: { header: "Acme-Id" } }, {}],
  ["an id in the body", {}, { id: "id-1" }],
  ["an id in the body, and several signatures", {}, { id: "id-1" }, ","],
  ["the signature as its id", { id: { from: "signature" } }, { task: 1 }],
  ["events in a list", { events: "items" }, { items: [{ id: "id-1" }, { id: "id-2" }] }],
])("a captured request of a provider with unsigned types and %s", (_, envelope, body, separator) => {
  test.each(["memory", "a store"])("runs under no other type, with claims in %s", async (kind) => {
    const claims = kind === "memory" ? {} : { claims: memoryClaims({ clock }) };
    const receiver = createReceiver(provider(envelope, separator), { secret: SECRET, clock, ...claims });
    const ran: string[] = [];
    let isBroken = true;
    receiver.onAny(({ type }) => {
      ran.push(type);
      if (isBroken) throw new Error("broken");
    });
    const send = async (request: Request) => JSON.parse((await receiver.handle(request)).body);
    const request = signed(body);
    const count = "items" in body ? 2 : 1;
    const wrong = `v1=${"0".repeat(64)}`;
    const changed = [withHeaders(request, { "acme-type": "approved" })];
    if (separator)
      changed.push(
        withHeaders(request, {
          "acme-type": "approved",
          "acme-signature": `${wrong}${separator}${request.headers["acme-signature"]}`,
        }),
      );

    await send(request);
    const failed = [...ran];
    for (const each of changed) expect(await send(each)).toMatchObject({ handled: 0, busy: count });
    expect(ran).toEqual(failed);

    isBroken = false;
    expect(await send(request)).toMatchObject({ handled: count });
    for (const each of [...changed, request])
      expect(await send(each)).toMatchObject({ handled: 0, duplicate: count });
    expect(new Set(ran)).toEqual(new Set(["rejected"]));
  });
});

test("an unsigned type adds no call of the store where the id is unsigned, and one where the id is signed", async () => {
  const callsOf = async (envelope: Partial<Envelope>, body: object) => {
    const store = memoryClaims({ clock });
    const claim = vi.fn(store.claim);
    const receiver = createReceiver(provider(envelope), {
      secret: SECRET,
      clock,
      claims: { ...store, claim },
    });
    receiver.onAny(() => {});
    await receiver.handle(signed(body));
    return claim.mock.calls.length;
  };
  expect(await callsOf({ type: "type", id: { header: "Acme-Id" } }, { type: "approved" })).toBe(2);
  expect(await callsOf({ id: { header: "Acme-Id" } }, {})).toBe(2);
  expect(await callsOf({ type: "type" }, { type: "approved", id: "id-1" })).toBe(1);
  expect(await callsOf({}, { id: "id-1" })).toBe(2);
});

import { execFileSync } from "node:child_process";
import { expect, test, vi } from "vitest";
import { createReceiver } from "../src/index.js";
import { cvat } from "../src/providers/cvat/index.js";
import { cvatSender as sender } from "../src/providers/cvat/sender.js";
import { signDelivery } from "../src/testing.js";

const NOW = 1_700_000_000_000;
const SECRET = "a secret";

const signed = (type: string) => signDelivery(sender, { secret: SECRET, events: [sender.sample(type)] });

function receiving(options: object = { secret: SECRET }) {
  const receiver = createReceiver(cvat, { clock: () => NOW, ...options });
  const events: { readonly id: string }[] = [];
  receiver.onAny((event) => void events.push(event));
  return { receiver, events };
}

test.each(cvat.eventTypes)("%s is handled once, under its digest, at the time of receipt", async (type) => {
  const { receiver, events } = receiving();
  const delivery = signed(type);
  expect(await receiver.handle(delivery)).toMatchObject({ status: 200 });
  expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
  const id = delivery.headers["x-signature-256"]?.slice("sha256=".length);
  expect(events).toMatchObject([{ type, id, occurredAt: new Date(NOW), data: { event: type } }]);
});

test("the signature agrees with Python's hmac over the body", () => {
  const { headers, body } = signed("create:task");
  const code =
    "import hmac,hashlib,sys;print('sha256='+hmac.new(sys.argv[1].encode(),sys.stdin.buffer.read(),hashlib.sha256).hexdigest())";
  expect(execFileSync("python3", ["-c", code, SECRET], { input: body, encoding: "utf8" }).trim()).toBe(
    headers["x-signature-256"],
  );
});

test.each([
  ["SIGNATURE_MISSING", {}],
  ["SIGNATURE_MALFORMED", { "x-signature-256": `sha1=${"0".repeat(64)}` }],
  ["SIGNATURE_MALFORMED", { "x-signature-256": "0".repeat(64) }],
  ["SIGNATURE_MALFORMED", { "x-signature-256": "sha256=00" }],
  ["SIGNATURE_MISMATCH", { "x-signature-256": `sha256=${"0".repeat(64)}` }],
])("a delivery is refused with %s when its headers are %j", async (code, headers) => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const { receiver } = receiving();
  const reply = await receiver.handle({ ...signed("create:task"), headers });
  expect(reply.status).toBe(401);
  expect(JSON.parse(reply.body)).toMatchObject({ code });
});

test("an event is about its resource, by number or key", () => {
  const subjectOf = (type: string, data: object) => cvat.subjectOf({ type, data } as never);
  expect(subjectOf("update:task", { task: { id: 15 } })).toBe("task:15");
  expect(subjectOf("create:invitation", { invitation: { key: "k" } })).toBe("invitation:k");
  expect(subjectOf("ping", { webhook: { id: 1 } })).toBeUndefined();
  expect(subjectOf("update:task", { task: null })).toBeUndefined();
});

test("an unsigned webhook has no event id, so each delivery is handled", async () => {
  const { receiver, events } = receiving({ unsigned: true });
  const { body } = signed("create:task");
  for (let i = 0; i < 2; i++)
    expect(await receiver.handle({ method: "POST", headers: {}, body })).toMatchObject({ status: 200 });
  expect(events).toMatchObject([{ id: "" }, { id: "" }]);
});

import { createHmac, randomUUID } from "node:crypto";
import { SENDERS } from "@crowdhook/core/testing";

// Loaded before the command, as if a third provider were in the list.

const HEADER = "acme-signature";
const EVENT_TYPES = ["task.done", "task.lost"];

const provider = {
  name: "acme",
  title: "Acme",
  defaultPath: "/acme-webhook",
  secretVariable: "ACME_SECRET",
  eventTypes: EVENT_TYPES,
  eventsPerDelivery: "many",
  signsEventIds: true,
  signatureFormat: {
    headers: ["Acme-Signature"],
    whenMissing: "turn on signing",
    example: "1700000000:609a… with 64 digits after the colon",
    complete: /^\d+:[0-9a-f]{64}$/,
    timestamp: { name: "its time", header: HEADER, pattern: /^(\d+):/, unit: "seconds" },
    signs: "the time, a colon and the body",
  },
  matches: (headers) => Boolean(headers.get(HEADER)),
  parseSignature(headers) {
    const header = headers.get(HEADER);
    if (!header) return "SIGNATURE_MISSING";
    const [, time, digest] = /^(\d+):([0-9a-f]{64})$/.exec(header) ?? [];
    if (!time || !digest) return "SIGNATURE_MALFORMED";
    return { prefix: `${time}:`, digest, timestamp: Number(time) * 1000 };
  },
  parseEvents(body) {
    if (!Array.isArray(body?.acme)) return undefined;
    return body.acme.map((data) => ({
      provider: "acme",
      type: data.kind,
      id: data.id,
      occurredAt: new Date(data.at),
      data,
    }));
  },
  subjectOf: () => undefined,
};

SENDERS.push({
  provider,
  defaultType: "task.done",
  typeField: "kind",
  testTypes: [],
  digestEncoding: "hex",
  dropsLeadingZeros: false,
  sample(kind, fields = {}) {
    const id = randomUUID();
    return { id, content: { kind, id, at: new Date().toISOString(), ...fields } };
  },
  formatTime: (milliseconds) => String(Math.floor(milliseconds / 1000)),
  composeBody: (events) => JSON.stringify({ acme: events.map(({ content }) => content) }),
  computeDigest: (secret, { time }, body) =>
    createHmac("sha256", secret).update(`${time}:`).update(body).digest("hex"),
  signatureHeaders: ({ time, digest }) => [["Acme-Signature", `${time}:${digest}`]],
  eventHeaders: () => [],
});

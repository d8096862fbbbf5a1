import { createHmac, randomUUID } from "node:crypto";
import type http from "node:http";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { expect, test } from "vitest";
import { PlainEndpoint, type PlainEvent, SECRETS, type Signature, serve } from "./plain-endpoint.js";

const TYPES = ["item.created", "item.deleted"];

/** A made-up provider: one header holds the time in seconds and the digest, and a body holds many events. */
const acme = {
  provider: {
    name: "acme",
    title: "Acme",
    eventTypes: TYPES,
    eventsPerDelivery: "many",
    signsEventIds: true,
    signatureFormat: {
      headers: ["Acme-Signature"],
      timestamp: { name: "t", header: "acme-signature", pattern: /\bt=(\d+)/, unit: "seconds" },
    },
  },
  defaultType: "item.created",
  typeField: "kind",
  testTypes: [],
  digestEncoding: "hex",
  dropsLeadingZeros: false,
  sample(type, fields = {}) {
    const id = randomUUID();
    return { id, content: { event_id: id, kind: type, subject: `item-of-${id}`, ...fields } };
  },
  formatTime: (milliseconds) => String(Math.floor(milliseconds / 1000)),
  composeBody: (events) => JSON.stringify({ items: events.map(({ content }) => content) }),
  computeDigest: (secret, { time }, body) =>
    createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex"),
  signatureHeaders: ({ time, digest }) => [["Acme-Signature", `t=${time},s=${digest}`]],
  eventHeaders: () => [],
} as Omit<Sender, "provider"> as Sender;

class AcmeEndpoint extends PlainEndpoint {
  override signature(headers: http.IncomingHttpHeaders): Signature | undefined {
    const header = String(headers["acme-signature"] ?? "");
    const [, time = "", digest = ""] = /^t=(\d{1,11}),s=([0-9a-f]{64})$/.exec(header) ?? [];
    return digest === "" ? undefined : { prefix: `${time}.`, digest, time: Number(time) * 1000 };
  }

  override sign(secret: string, prefix: string, body: Buffer): string {
    return createHmac("sha256", secret).update(prefix).update(body).digest("hex");
  }

  override isCopy(): boolean {
    return false;
  }

  override isKnown(type: unknown): boolean {
    return TYPES.includes(type as string);
  }

  override events(body: Buffer): PlainEvent[] | undefined {
    try {
      const json = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
      return json.items.map((content: PlainEvent["content"]) => {
        return { id: content.event_id, type: content.kind, content };
      });
    } catch {
      return undefined;
    }
  }
}

/** The checks about the rules of one provider, or of a scheme that this one does not have. */
const SPECIFIC = [
  "signature-short",
  "signature-shorter",
  "signature-padded",
  "signature-order",
  "signature-spaces",
  "signature-new-field",
  "signature-version",
  "signature-other-version",
  "signature-boundary",
  "signature-one-of-several",
  "signature-other-scheme",
  "signature-all-wrong",
  "signature-thousands",
  "signature-id-changed",
  "signature-id-missing",
  "body-bare-event",
  "event-close-reason-new",
  "event-time-forms",
  "event-overlap-forms",
  "event-values-new",
  "once-each-body",
  "once-other-id",
  "once-after-others",
  "once-respelled",
  "size-4-mb",
  "reply-200",
];

test("audit runs all generic checks for a new provider in SENDERS", { timeout: 120_000 }, async ({
  onTestFinished,
}) => {
  (SENDERS as Sender[]).push(acme);
  // The audit reads the list when it is loaded.
  const { audit, CHECKS } = await import("@crowdhook/audit");
  // The endpoint's own provider does not matter, because every method that depends on it is replaced.
  const { close, ...urls } = await serve(new AcmeEndpoint("toloka"));
  onTestFinished(close);
  const { results, verdict } = await audit({ ...urls, provider: "acme", secrets: [...SECRETS], timeout: 30 });
  const generic = CHECKS.map(({ id }) => id).filter((id) => !SPECIFIC.includes(id));
  expect(results.map(({ id }) => id)).toEqual(generic);
  expect(results.filter(({ status }) => status !== "passed")).toEqual([]);
  expect(verdict).toBe("safe");
});

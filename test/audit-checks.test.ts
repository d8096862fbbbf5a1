import { readdirSync, readFileSync } from "node:fs";
import { audit, CHECKS } from "@crowdhook/audit";
import type { Sender } from "@crowdhook/core/testing";
import { webhook } from "@crowdhook/node";
import { describe, expect, test } from "vitest";
import { checksOf, idsOf, notPassed, PROVIDERS, startServer } from "./audit-runs.js";
import { FLAWS } from "./broken-endpoints.js";
import { DEFINED, secretsOf, senderNamed } from "./defined-providers.js";

describe("CHECKS", () => {
  test("has frozen ids in a fixed order", () => {
    expect(idsOf(CHECKS)).toMatchInlineSnapshot(`
      [
        "signature-good",
        "signature-header-case",
        "signature-short",
        "signature-shorter",
        "signature-padded",
        "signature-order",
        "signature-spaces",
        "signature-new-field",
        "signature-version",
        "signature-second-secret",
        "signature-missing",
        "signature-empty",
        "signature-cut-at-end",
        "signature-cut-in-front",
        "signature-unreadable",
        "signature-other-secret",
        "signature-no-secret",
        "signature-other-body",
        "signature-other-version",
        "signature-long",
        "signature-twice",
        "signature-boundary",
        "signature-one-of-several",
        "signature-other-scheme",
        "signature-all-wrong",
        "signature-thousands",
        "signature-id-changed",
        "signature-id-missing",
        "signature-status",
        "time-changed",
        "time-missing",
        "time-old",
        "time-ahead",
        "time-unit",
        "time-unreadable",
        "time-close",
        "body-indented",
        "body-escapes",
        "body-not-ascii",
        "body-rewritten",
        "body-decoded",
        "body-mark-added",
        "body-mark",
        "body-not-utf8",
        "body-empty",
        "body-not-json",
        "body-null",
        "body-not-an-envelope",
        "body-no-events",
        "body-bare-event",
        "body-answered",
        "event-types",
        "event-type-new",
        "event-type-new-among-others",
        "event-type-inherited",
        "event-fields-new",
        "event-values-new",
        "event-close-reason-new",
        "event-time-forms",
        "event-overlap-forms",
        "event-batch",
        "event-batch-order",
        "event-misfit-among-others",
        "event-misfit",
        "event-fields-twice",
        "event-field-proto",
        "event-numbers-huge",
        "event-nested-deep",
        "once-accepted",
        "once-same-delivery",
        "once-signed-anew",
        "once-concurrent",
        "once-in-a-delivery",
        "once-among-others",
        "once-each",
        "once-each-body",
        "once-after-forgery",
        "once-other-id",
        "once-after-others",
        "once-respelled",
        "http-chunked",
        "http-slow",
        "http-broken-off",
        "http-pipelined",
        "http-length-twice",
        "http-method",
        "http-allow",
        "http-path",
        "http-content-type",
        "http-content-type-other",
        "http-content-encoding",
        "size-200-kb",
        "size-4-mb",
        "size-limit",
        "size-limit-chunked",
        "size-limit-inflated",
        "size-status",
        "reply-secret",
        "reply-signature",
        "reply-trace",
        "reply-200",
        "end-refused-not-handled",
        "end-nothing-twice",
        "end-alive",
      ]
    `);
  });

  test("gives a requirement, a reason and a source for each check", () => {
    expect(new Set(idsOf(CHECKS)).size).toBe(CHECKS.length);
    for (const { id, group, providers, level, requirement, reason, source } of CHECKS) {
      expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
      expect(id.startsWith(group.replace(/s$|ies$/, "").slice(0, 3))).toBe(true);
      expect(providers).not.toEqual([]);
      expect(["MUST", "SHOULD", "MAY"]).toContain(level);
      for (const sentence of [requirement, reason]) expect(sentence).toMatch(/^[A-Z`].*\.$/);
      expect(source).not.toBe("");
    }
  });

  test("uses no code of core that receives deliveries", () => {
    const sources = new URL("../packages/audit/src/", import.meta.url);
    const files = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((file) =>
      /\.ts$/.test(file),
    );
    const imported = files.flatMap((file) => {
      const text = readFileSync(new URL(file, sources), "utf8");
      const lines = [...text.matchAll(/^import (?!type )\{([^}]*)\} from "(@crowdhook\/[^"]+)"/gm)];
      return lines.flatMap(([, names = "", from]) =>
        names
          .split(",")
          .map((name) => name.trim())
          .filter((name) => name !== "" && !name.startsWith("type "))
          .map((name) => `${name} from ${from}`),
      );
    });
    expect([...new Set(imported)].sort()).toEqual([
      "SENDERS from @crowdhook/core/testing",
      "createHider from @crowdhook/core/internal",
      "describeValue from @crowdhook/core/internal",
      "docsAddress from @crowdhook/core/internal",
      "escapeControls from @crowdhook/core/internal",
      "escapeControlsInJson from @crowdhook/core/internal",
      "toAscii from @crowdhook/core/inspect",
    ]);
  });

  test("contains only checks that a flaw makes fail, for each provider", () => {
    const found = PROVIDERS.flatMap((provider) =>
      FLAWS.flatMap(({ fails }) => (fails[provider] ?? "").split(/\s+/).map((id) => `${provider} ${id}`)),
    );
    // Node refuses such a request itself. See audit-proxies.test.ts.
    const elsewhere = PROVIDERS.map((provider) => `${provider} http-length-twice`);
    const all = PROVIDERS.flatMap((provider) => idsOf(checksOf(provider)).map((id) => `${provider} ${id}`));
    expect(all.filter((id) => ![...found, ...elsewhere].includes(id))).toEqual([]);
  });
});

describe("SENDERS signs as the provider does", () => {
  interface Vector {
    readonly name: string;
    readonly secret: string;
    readonly body: string;
    readonly ts: number;
    readonly v: number;
    readonly header: string;
    readonly headers: Readonly<Record<string, string>>;
  }
  const vectors = (provider: string): readonly Vector[] =>
    JSON.parse(readFileSync(new URL(`vectors/${provider}.json`, import.meta.url), "utf8")).valid;

  const toloka = senderNamed("toloka");
  const prolific = senderNamed("prolific");

  test.each(vectors("toloka"))("Toloka: $name", ({ secret, body, ts, v, header }) => {
    const signed = { time: toloka.formatTime(ts), version: String(v), id: "" };
    const digest = toloka.computeDigest(secret, signed, Buffer.from(body));
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    const shortened = digest.replace(/^0+/, "");
    expect(toloka.signatureHeaders({ ...signed, digest: shortened })).toEqual([["Toloka-Signature", header]]);
  });

  test.each(vectors("prolific"))("Prolific: $name", ({ secret, body, headers }) => {
    const time = headers["X-Prolific-Request-Timestamp"] ?? "";
    expect(prolific.formatTime(Number(time) * 1000 + 999)).toBe(time);
    const digest = prolific.computeDigest(secret, { time, version: "", id: "" }, Buffer.from(body));
    const written = prolific.signatureHeaders({ time, version: "", id: "", digest });
    const { "X-Event-ID": id, "X-Timestamp": occurred, ...signature } = headers;
    expect(Object.fromEntries(written)).toEqual(signature);
  });
});

test("time-changed passes an endpoint of a provider that signs the number in the text of the time", async ({
  onTestFinished,
}) => {
  const sender = senderNamed("id-from-signature-with-time", DEFINED);
  const number = (text: string) => text.replace(/^0+/, "");
  const byNumber: Sender = {
    ...sender,
    computeDigest: (secret, { time, ...signed }, body) =>
      sender.computeDigest(secret, { ...signed, time: number(time) }, body),
  };
  const { provider } = sender;
  const secrets = secretsOf(sender);
  const receiver = webhook(
    {
      ...provider,
      parseSignature(headers) {
        const signature = provider.parseSignature(headers);
        return typeof signature === "string" ? signature : { ...signature, prefix: number(signature.prefix) };
      },
    },
    secrets,
  );
  receiver.onAny(() => {});
  const origin = await startServer(onTestFinished, receiver);
  const url = origin + provider.defaultPath;
  const report = await audit({ url, provider: byNumber, secrets, only: ["time-changed"] });
  expect(notPassed(report)).toEqual([]);
});

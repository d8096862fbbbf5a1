import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import type { ErrorCode } from "@crowdhook/core";
import type { Sender } from "@crowdhook/core/testing";
import { vi } from "vitest";
import { identifiesBySignature } from "../packages/audit/src/capabilities.js";
import { Session } from "../packages/audit/src/session.js";
import { secretsOf } from "./defined-providers.js";
import { type Case, casesOf, NOW } from "./vector-cases.js";

/** The receiver's default, in seconds. */
export const TOLERANCE = 300;

export interface Vector {
  readonly name: string;
  readonly provider: string;
  readonly secret: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly text: string } | { readonly base64: string };
  readonly now: number;
  readonly about: Case["about"];
  readonly expected:
    | { readonly outcome: "accept"; readonly events: readonly { id: string; type: string }[] }
    | { readonly outcome: "refuse"; readonly code: ErrorCode };
  readonly reason: string;
}

/** Returns the provider's vectors, always the same: the clock and all random ids are fixed. */
function vectorsOf(sender: Sender): readonly Vector[] {
  const { randomUUID, randomInt } = crypto;
  let made = 0;
  vi.useFakeTimers({ toFake: ["Date"], now: NOW });
  Object.assign(crypto, {
    randomUUID: () => `00000000-0000-4000-8000-${String(++made).padStart(12, "0")}`,
    randomInt: () => ++made,
  });
  syncBuiltinESMExports();
  try {
    return casesOf(sender).map((each) => vectorOf(sender, each));
  } finally {
    Object.assign(crypto, { randomUUID, randomInt });
    syncBuiltinESMExports();
    vi.useRealTimers();
  }
}

function vectorOf(sender: Sender, { name, about, code, reason, draft }: Case): Vector {
  const [secret] = secretsOf(sender);
  const session = new Session({
    url: new URL("http://localhost/"),
    sender,
    secrets: [secret],
    report: undefined,
    timeout: 1,
    signal: undefined,
  });
  const drafted = draft(session);
  const events = drafted.events ?? [session.event()];
  let digest = "";
  const { method, headers, body } = session.delivery({
    ...drafted,
    events,
    alterSignature(signature) {
      const altered = drafted.alterSignature?.(signature) ?? {};
      digest = Buffer.from(signature.digest, sender.digestEncoding).toString("hex");
      return altered;
    },
  });
  return {
    name,
    provider: sender.provider.name,
    secret,
    method,
    headers: Object.fromEntries(headers.filter(([header]) => header !== "User-Agent")),
    body: isText(body)
      ? { text: Buffer.from(body).toString() }
      : { base64: Buffer.from(body).toString("base64") },
    now: NOW,
    about,
    expected: code
      ? { outcome: "refuse", code }
      : {
          outcome: "accept",
          events: events.map(({ id, content }) => ({
            id: identifiesBySignature(sender) ? digest : id,
            type: String(content[sender.typeField]),
          })),
        },
    reason,
  };
}

function isText(body: Uint8Array): boolean {
  return Buffer.from(Buffer.from(body).toString()).equals(body);
}

/** Returns the file of a provider. */
export function vectorFile(sender: Sender): string {
  const { name, definition, signatureFormat } = sender.provider;
  const scheme = definition && !("parse" in definition.signature) ? definition.signature : undefined;
  const file = {
    $schema: "./schema.json",
    provider: name,
    signs: signatureFormat.signs,
    scheme,
    tolerance: TOLERANCE,
    vectors: vectorsOf(sender),
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

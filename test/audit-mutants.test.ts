import { audit, type Check } from "@crowdhook/audit";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { sendsSeveralSignatures, signsNoTime, signsTime } from "../packages/audit/src/capabilities.js";
import { checksOf, idsOf, idsWith, isQuick, LONG, type OnTestFinished, startServer } from "./audit-runs.js";
import { secretsOf, senderNamed } from "./defined-providers.js";
import { adapterBuilder, type MutatedAdapter, type Mutation } from "./mutated-adapter.js";

// A scheme's capabilities decide for which providers a mutation is a mistake, and which checks notice it.

interface Mutant {
  /** Completes "an adapter that …". */
  readonly name: string;
  readonly mutations: readonly Mutation[];
  /** Default: the mutation is a mistake for every provider. */
  readonly concerns?: (sender: Sender) => boolean;
  /** The checks that fail, if they apply to the provider. */
  readonly fails: readonly string[];
  /** Checks that fail for some of the providers to which they apply. */
  readonly failsFor?: Readonly<Record<string, (sender: Sender) => boolean>>;
  /** Whether the slow checks run, too. Default: no. */
  readonly slow?: boolean;
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "verifies no signature",
    mutations: [{ file: "hmac.node.ts", text: "timingSafeEqual(expected, received)", replacement: "true" }],
    fails: [
      "signature-cut-at-end",
      "signature-cut-in-front",
      "signature-other-secret",
      "signature-no-secret",
      "signature-other-body",
      "signature-other-version",
      "signature-all-wrong",
      "signature-id-changed",
      "time-changed",
      "body-rewritten",
      "body-mark-added",
    ],
  },
  {
    name: "compares only the first digits of a signature",
    mutations: [
      {
        file: "hmac.node.ts",
        text: "timingSafeEqual(expected, received)",
        replacement: "expected.compare(received, 0, 16, 0, 16) === 0",
      },
    ],
    fails: ["signature-cut-at-end"],
  },
  {
    name: "reads only the first of several signatures",
    mutations: [
      {
        file: "defining/signature.ts",
        text: "digests.push(digest)",
        replacement: "digests[0] ??= digest",
      },
    ],
    concerns: sendsSeveralSignatures,
    fails: ["signature-one-of-several"],
  },
  {
    name: "accepts a signature of any age",
    mutations: [
      {
        file: "verify.ts",
        text: "Math.abs(now - timestamp) <= tolerance * 1000",
        replacement: "now === now",
      },
    ],
    concerns: signsTime,
    fails: ["time-old", "time-ahead"],
    // A time in milliseconds has too many digits for a time in seconds. A time in seconds, read as
    // milliseconds, is only old, and this mutant accepts old times.
    failsFor: { "time-unit": ({ provider }) => provider.signatureFormat.timestamp?.unit === "milliseconds" },
  },
  {
    name: "forgets handled events",
    mutations: [
      { file: "receiver-memory.ts", text: "done.set(key, until)", replacement: "{}" },
      // The replay guard of providers that sign no id.
      {
        file: "memory-claims.ts",
        text: "doneUntil.set(key, clock() + ttl, ttl, clock())",
        replacement: "{}",
      },
    ],
    fails: [
      "once-same-delivery",
      "once-signed-anew",
      "once-concurrent",
      "once-among-others",
      "once-each-body",
      "once-other-id",
      "once-after-others",
      "end-nothing-twice",
    ],
    // Core refuses every spelling of base64 but one, and reads digits in either case.
    failsFor: { "once-respelled": ({ digestEncoding }) => digestEncoding === "hex" },
  },
  {
    name: "remembers only a few events",
    mutations: [
      {
        file: "receiver-memory.ts",
        text: "const REMEMBERED = 50_000",
        replacement: "const REMEMBERED = 10",
      },
    ],
    concerns: signsNoTime,
    fails: ["once-after-others", "end-nothing-twice"],
  },
  {
    name: "does not limit the body",
    mutations: [
      {
        file: "receiver.ts",
        text: "maxBodySize = 5 * 1024 * 1024",
        replacement: "maxBodySize = Number.POSITIVE_INFINITY",
      },
    ],
    fails: ["size-limit", "size-limit-chunked", "size-status"],
    slow: true,
  },
];

/** Returns the ids of the checks that should fail, in the order of the checks. */
function expectedFailures({ fails, failsFor = {} }: Mutant, sender: Sender): readonly string[] {
  return idsOf(checksOf(sender.provider.name)).filter(
    (id) => fails.includes(id) || failsFor[id]?.(sender) === true,
  );
}

/** Returns the ids of the checks that fail for an adapter. */
async function failedChecks(
  { webhook, SENDERS: built }: MutatedAdapter,
  sender: Sender,
  checks: readonly Check[],
  onTestFinished: OnTestFinished,
): Promise<readonly string[]> {
  const mutated = senderNamed(sender.provider.name, built);
  const secrets = secretsOf(sender);
  const receiver = webhook(mutated.provider, secrets);
  const handled: string[] = [];
  receiver.onAny(({ id }: { id: string }) => void handled.push(id));
  const origin = await startServer(onTestFinished, (request, response) => {
    if (request.url === "/handled") response.end(JSON.stringify({ handled }));
    else void receiver(request, response);
  });
  // The audit signs with its own sender, which has no mutation.
  const { results } = await audit({
    url: origin + sender.provider.defaultPath,
    provider: sender,
    secrets,
    report: `${origin}/handled`,
    only: idsOf(checks),
    timeout: 30,
  });
  return idsWith("failed", { results });
}

// Receivers log the deliveries that they refuse.
beforeAll(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

const { buildAdapter, deleteBuilds } = adapterBuilder();
afterAll(deleteBuilds);

const senders = SENDERS.map((sender) => [sender.provider.title, sender] as const);

describe("the audit of an adapter without a mutation", () => {
  let adapter: MutatedAdapter;
  beforeAll(async () => {
    adapter = await buildAdapter();
  });

  test.for(senders)("passes for %s", LONG, async ([, sender], { onTestFinished }) => {
    const checks = checksOf(sender.provider.name).filter(isQuick);
    expect(await failedChecks(adapter, sender, checks, onTestFinished)).toEqual([]);
  });
});

describe.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
  "the audit of an adapter that %s",
  (_, mutant) => {
    const { mutations, concerns = () => true, slow = false } = mutant;
    let adapter: MutatedAdapter;
    beforeAll(async () => {
      adapter = await buildAdapter(mutations);
    });

    test.for(senders.filter(([, sender]) => concerns(sender)))(
      "fails for %s",
      LONG,
      async ([, sender], { onTestFinished }) => {
        const checks = checksOf(sender.provider.name).filter((check) => slow || isQuick(check));
        const failed = await failedChecks(adapter, sender, checks, onTestFinished);
        expect(failed).not.toEqual([]);
        expect(failed).toEqual(expectedFailures(mutant, sender));
      },
    );
  },
);

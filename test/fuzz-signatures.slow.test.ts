import assert from "node:assert/strict";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import fc from "fast-check";
import { describe } from "vitest";
import * as node from "../packages/core/src/signature/hmac.node.js";
import * as web from "../packages/core/src/signature/hmac.web.js";
import { anyText, secretText } from "./fuzz-deliveries.js";
import { digitsOf, property } from "./fuzz-property.js";
import { hmac } from "./fuzz-receivers.js";

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const blank = fc.constantFrom("", " ", "  ", "\t");
describe("a signature's header", () => {
  property(
    "toloka: the header is read however it is spelt: its fields in any order, with any white space and others among them, zeros left out",
    10_000,
    fc.asyncProperty(
      digests,
      fc.nat({ max: 12 }),
      digitsOf(3),
      digitsOf(15),
      fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.stringMatching(/^[0-9A-Za-z_-]{1,12}$/), {
        maxKeys: 2,
      }),
      fc.infiniteStream(blank),
      fc.infiniteStream(fc.nat()),
      async (bytes, zeros, v, ts, others, blanks, order) => {
        const digest = Buffer.concat([Buffer.alloc(zeros), bytes.subarray(zeros)]).toString("hex");
        const space = () => blanks.next().value;
        const own = { v, ts, sign: digest.replace(/^0{0,24}/, "") };
        const fields = Object.entries({ ...others, ...own }).map(([name, value]) => ({
          text: `${space()}${name}${space()}=${space()}${value}${space()}`,
          place: order.next().value,
        }));
        const header = `{${fields.sort((a, b) => a.place - b.place).map(({ text }) => text)}}`;
        assert.deepEqual(
          toloka.parseSignature({ get: (name) => (name === "toloka-signature" ? header : null) }),
          {
            prefix: `${ts}.${v}.`,
            digest,
            timestamp: Number(ts),
          },
        );
      },
    ),
  );

  property(
    "prolific: the headers are read as they were written",
    10_000,
    fc.asyncProperty(digests, digitsOf(11), async (digest, seconds) => {
      const headers = new Map([
        ["x-prolific-request-signature", digest.toString("base64")],
        ["x-prolific-request-timestamp", seconds],
      ]);
      assert.deepEqual(prolific.parseSignature(headers), {
        prefix: seconds,
        digest: digest.toString("hex"),
        timestamp: Number(seconds) * 1000,
      });
    }),
  );
});

describe("node:crypto and WebCrypto", () => {
  const bytesOfSize = fc
    .tuple(fc.nat({ max: 70_000 }), fc.uint8Array({ minLength: 1, maxLength: 16 }))
    .map(([size, pattern]) => Buffer.alloc(size, pattern));
  const wrong: Readonly<Record<string, (digest: string, at: number) => string>> = {
    "a digit": (digest, at) => digest.slice(0, at) + (digest[at] === "0" ? "1" : "0") + digest.slice(at + 1),
    capitals: (digest) => digest.toUpperCase(),
    short: (digest, at) => digest.slice(0, at),
    long: (digest) => `${digest}0`,
    "a line break": (digest) => `${digest}\n`,
    "a wide digit": (digest, at) => `${digest.slice(0, at)}\uff11${digest.slice(at + 1)}`,
  };

  property(
    "both verify what was signed with one of the keys, and nothing else",
    3_000,
    fc.asyncProperty(
      fc.array(fc.oneof(secretText, fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" })), {
        maxLength: 4,
      }),
      fc.nat({ max: 4 }),
      fc.oneof(anyText, digitsOf(20)),
      fc.oneof({ weight: 3, arbitrary: fc.uint8Array({ maxLength: 200 }) }, bytesOfSize),
      fc.option(fc.constantFrom(...Object.keys(wrong)), { nil: undefined }),
      fc.nat({ max: 63 }),
      async (secrets, signer, prefix, body, mistake, at) => {
        const digest = hmac(
          secrets[signer] ?? "another",
          Buffer.concat([Buffer.from(prefix), body]),
        ).toString("hex");
        const sent = (mistake && wrong[mistake]?.(digest, at)) ?? digest;
        const verdicts = [
          node.verify(
            secrets.map((secret) => node.prepareKey(secret)),
            { prefix, digest: sent },
            body,
          ),
          await web.verify(
            await Promise.all(secrets.map((secret) => web.prepareKey(secret))),
            { prefix, digest: sent },
            body,
          ),
        ];
        const isRight = secrets[signer] !== undefined && sent === digest;
        assert.deepEqual(verdicts, [isRight, isRight]);
      },
    ),
  );
});

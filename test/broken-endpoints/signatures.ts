import { SECRETS } from "../plain-endpoint.js";
import { before, both, FAILED, type Flaw, readsDigest, signatureIn } from "./flaw.js";

export const SIGNATURE_FLAWS: readonly Flaw[] = [
  {
    name: "does not check the time",
    breaks: (e) => {
      e.isInTime = () => true;
    },
    fails: { toloka: "time-old time-ahead time-unit", prolific: "time-old time-ahead" },
  },
  {
    name: "checks only whether the time is too old",
    breaks: (e) => {
      e.isInTime = (time) => Date.now() - time <= 300_000;
    },
    fails: both("time-ahead"),
  },
  {
    name: "accepts a malformed time",
    breaks: (e) => {
      const { signature } = e;
      e.signature = (headers) => {
        const [, time = "", digest = ""] = /ts=(\w+), sign=(\w+)/.exec(signatureIn(headers)) ?? [];
        return (
          signature.call(e, headers) ??
          (digest ? { prefix: `${time}.1.`, digest, time: Number(time) } : undefined)
        );
      };
      e.isInTime = (time) => !(Math.abs(Date.now() - time) > 300_000);
    },
    fails: { toloka: "time-unreadable" },
  },
  {
    name: "tolerates only 20 seconds",
    breaks: (e) => {
      e.isInTime = (time) => Math.abs(Date.now() - time) <= 20_000;
    },
    fails: both("time-close"),
  },
  {
    name: "compares header names with their case",
    breaks: (e) =>
      before(e, "refusal", ({ rawHeaders }) =>
        rawHeaders.some((name) => /^(Toloka-Signature|X-Prolific-Request-Signature)$/.test(name))
          ? undefined
          : { status: 401 },
      ),
    fails: both("signature-header-case"),
  },
  {
    name: "requires all digits of a signature",
    breaks: (e) => readsDigest(e, (digest) => digest),
    fails: { toloka: "signature-short signature-shorter" },
  },
  {
    name: "requires a signature without leading zeros",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => digest === computed.replace(/^0+/, "");
    },
    fails: { toloka: "signature-padded" },
  },
  {
    name: "compares the beginning of a signature",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => computed.startsWith(digest);
    },
    fails: {
      toloka: "signature-short signature-shorter signature-empty signature-cut-at-end",
      prolific: "signature-empty signature-cut-at-end signature-unreadable once-respelled",
    },
  },
  {
    name: "compares the end of a signature",
    breaks: (e) => {
      readsDigest(e, (digest) => digest);
      e.fits = (digest, computed) => computed.endsWith(digest);
    },
    fails: {
      toloka: "signature-empty signature-cut-in-front",
      prolific: "signature-empty signature-cut-in-front signature-unreadable",
    },
  },
  {
    name: "ignores extra digits of a signature",
    breaks: (e) => {
      readsDigest(e, (digest) => digest.padStart(64, "0"));
      e.fits = (digest, computed) => digest.startsWith(computed) || digest.endsWith(`0${computed}`);
    },
    fails: both("signature-long"),
  },
  {
    name: "accepts every base64 spelling of a signature",
    breaks: (e) => readsDigest(e, (digest) => Buffer.from(digest, "base64").toString("base64")),
    fails: { prolific: "signature-long once-respelled" },
  },
  {
    name: "accepts deliveries without a signature",
    breaks: (e) => {
      const { isGenuine } = e;
      e.isGenuine = (headers, body) => signatureIn(headers) === "" || isGenuine.call(e, headers, body);
    },
    fails: both("signature-missing signature-empty"),
  },
  {
    name: "treats a malformed signature as missing and accepts both",
    breaks: (e) => {
      const { isGenuine } = e;
      e.isGenuine = (headers, body) => !e.signature(headers) || isGenuine.call(e, headers, body);
    },
    fails: {
      toloka: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-long signature-twice time-missing time-unreadable
    `,
      prolific: `
      signature-missing signature-empty signature-cut-at-end signature-cut-in-front
      signature-unreadable signature-long signature-twice time-missing time-unit time-unreadable once-respelled
    `,
    },
  },
  {
    name: "reads the header's fields by position",
    breaks: (e) =>
      before(e, "refusal", ({ headers }) =>
        /^\{v=\d+, ts=\d+, sign=\w+\}$/.test(signatureIn(headers)) ? undefined : { status: 401 },
      ),
    fails: { toloka: "signature-order signature-spaces signature-new-field" },
  },
  {
    name: "assumes version 1",
    breaks: (e) => {
      const { sign } = e;
      e.sign = (secret, prefix, body) => sign.call(e, secret, prefix.replace(/\.\d+\.$/, ".1."), body);
    },
    fails: { toloka: "signature-version signature-other-version" },
  },
  {
    name: "uses the last of two signature headers",
    breaks: (e) => {
      const { signature } = e;
      e.signature = (headers) => {
        const last = (value: unknown) =>
          String(value ?? "")
            .split(/, (?=\{|\S{44}$)/)
            .at(-1);
        const names = ["toloka-signature", "x-prolific-request-signature"];
        return signature.call(e, {
          ...headers,
          ...Object.fromEntries(names.map((name) => [name, last(headers[name])])),
        });
      };
    },
    fails: both("signature-twice"),
  },
  {
    name: "has only one secret",
    breaks: (e) => {
      e.secrets = SECRETS.slice(0, 1);
    },
    fails: both("signature-second-secret"),
  },
  {
    name: "falls back to an empty secret",
    breaks: (e) => {
      e.secrets = [...SECRETS, ""];
    },
    fails: both("signature-no-secret"),
  },
  {
    name: "answers 500 to forgeries",
    breaks: (e) => {
      e.forged = () => FAILED;
    },
    fails: both("signature-status"),
  },
];

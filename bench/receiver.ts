/**
 * What a delivery costs from bytes to reply, as a ratio to what no receiver can do without: one HMAC
 * over the body and one JSON.parse of it. Both sides run in the same rounds of the same process.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { type ClaimStore, createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";

const SECRET = "12345";
const ROUNDS = 15;

const noClaims: ClaimStore = { claim: () => "won", settle: () => true, release: () => {} };

interface Side {
  name: string;
  run(delivery: number): unknown;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function time(side: Side, iterations: number): Promise<number> {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < iterations; i++) await side.run(i);
  return Number(process.hrtime.bigint() - begin) / iterations;
}

async function compare(events: number): Promise<void> {
  const iterations = Math.max(50, Math.round(10_000 / events));
  const deliveries = Array.from({ length: iterations }, () => {
    const { method, headers, body } = signToloka({
      secret: SECRET,
      events: Array.from({ length: events }, () => tolokaEvent("ASSIGNMENT_SUBMITTED")),
    });
    const header = headers["toloka-signature"] ?? "";
    const [, ts = "", sign = ""] = /ts=(\d+), sign=(\w+)/.exec(header) ?? [];
    return {
      method,
      headers: { get: (name: string) => (name === "toloka-signature" ? header : undefined) },
      body: Buffer.from(body),
      ts,
      sign,
    };
  });
  const at = (i: number) => {
    const delivery = deliveries[i];
    if (delivery === undefined) throw new RangeError(`no delivery ${i}`);
    return delivery;
  };
  let heard = 0;
  const receiverOf = (claims?: ClaimStore) => {
    const receiver = createReceiver(toloka, { secret: SECRET, ...(claims && { claims }) });
    receiver.on("ASSIGNMENT_SUBMITTED", async () => {
      heard++;
    });
    return receiver;
  };
  const bare = receiverOf(noClaims);
  let whole = receiverOf();
  const sides: Side[] = [
    {
      name: "the limit: HMAC + compare + JSON.parse",
      run(i) {
        const { body, ts, sign } = at(i);
        const digest = createHmac("sha256", SECRET).update(`${ts}.1.`).update(body).digest();
        if (!timingSafeEqual(digest, Buffer.from(sign, "hex"))) throw new Error("mismatch");
        return JSON.parse(body.toString("utf8"));
      },
    },
    { name: "handle(), claims off", run: (i) => bare.handle(at(i)) },
    { name: "handle(), claims in memory", run: (i) => whole.handle(at(i)) },
  ];
  const times = new Map(sides.map((side) => [side, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    // The deliveries are the same in every round: a new receiver finds none of their events done.
    whole = receiverOf();
    for (const side of sides) {
      const result = await time(side, iterations);
      // The first round warms up.
      if (round > 0) times.get(side)?.push(result);
    }
  }
  if (heard !== 2 * iterations * (ROUNDS + 1) * events) throw new Error(`${heard} events were heard`);
  const limit = median(times.get(sides[0] as Side) ?? []);
  for (const side of sides) {
    const took = median(times.get(side) ?? []);
    console.log(
      `${String(events).padStart(5)}  ${side.name.padEnd(40)} ${(took / 1000).toFixed(2).padStart(9)} µs  ${(took / limit).toFixed(2).padStart(5)}`,
    );
  }
}

console.log(`events  side${" ".repeat(41)}median   ratio   (Node ${process.version})`);
for (const events of [1, 10, 100, 1000]) await compare(events);

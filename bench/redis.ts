/**
 * What claims on Redis cost: deliveries a second through handle() with claims on a Redis of its own
 * on this machine, as a ratio to claims in memory in the same rounds of the same process; and how
 * many commands an event takes, as Redis counts them.
 */
import { type ClaimStore, createReceiver, memoryClaims } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { redisMissing, redisServer } from "../test/redis-server.js";

const SECRET = "12345";
const ROUNDS = 7;

const missing = redisMissing("own");
if (missing) {
  console.error(missing);
  process.exit(1);
}
const server = await redisServer("own");
const redis = new Redis(server.url);

const SIDES: { name: string; claims(round: string): ClaimStore }[] = [
  { name: "memory", claims: () => memoryClaims() },
  {
    name: "Redis",
    claims: (round) =>
      redisClaims({ prefix: `${round}:`, sendCommand: (command, ...args) => redis.call(command, ...args) }),
  },
];

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function commandsSoFar(): Promise<number> {
  const stats = await redis.info("commandstats");
  return [...stats.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

async function compare(events: number, inFlight: number): Promise<void> {
  const count = Math.round((inFlight === 1 ? 1_000 : 5_000) / Math.sqrt(events));
  const deliveries = Array.from({ length: count }, () => {
    const { method, headers, body } = signToloka({
      secret: SECRET,
      events: Array.from({ length: events }, () => tolokaEvent("ASSIGNMENT_SUBMITTED")),
    });
    return { method, headers, body: Buffer.from(body) };
  });
  const rates = SIDES.map(() => [] as number[]);
  const commands = SIDES.map(() => 0);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [i, { claims }] of SIDES.entries()) {
      // The deliveries are the same in every round: a new store finds none of their events done.
      const receiver = createReceiver(toloka, {
        secret: SECRET,
        claims: claims(`${events} ${inFlight} ${round}`),
      });
      let heard = 0;
      receiver.on("ASSIGNMENT_SUBMITTED", async () => {
        heard++;
      });
      const before = await commandsSoFar();
      const rest = deliveries.values();
      const begin = process.hrtime.bigint();
      await Promise.all(
        Array.from({ length: inFlight }, async () => {
          for (const delivery of rest) {
            const { status } = await receiver.handle(delivery);
            if (status !== 200) throw new Error(`a delivery got ${status}`);
          }
        }),
      );
      const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
      if (heard !== count * events) throw new Error(`${heard} events were heard, not ${count * events}`);
      // The first round warms up.
      if (round === 0) continue;
      rates[i]?.push(count / seconds);
      commands[i] = ((await commandsSoFar()) - before) / (count * events);
    }
  }
  const limit = median(rates[0] ?? []);
  for (const [i, { name }] of SIDES.entries()) {
    const rate = median(rates[i] ?? []);
    console.log(
      [
        String(events).padStart(6),
        String(inFlight).padStart(9),
        `  ${name.padEnd(9)}`,
        Math.round(rate).toLocaleString("en").padStart(12),
        (rate / limit).toFixed(3).padStart(7),
        (commands[i] ?? Number.NaN).toFixed(2).padStart(15),
      ].join(" "),
    );
  }
}

try {
  console.log(
    `\nevents in flight   claims in deliveries/s   ratio  commands/event   (Node ${process.version})`,
  );
  for (const events of [1, 10, 100]) for (const inFlight of [1, 32]) await compare(events, inFlight);
} finally {
  redis.disconnect();
  await server.close();
}

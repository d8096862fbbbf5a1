/**
 * What a delivery costs where there is no node:crypto: the fetch adapter as it is bundled for edge
 * runtimes. On one core, as there, and because WebCrypto works in other threads.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type * as fetchAdapter from "@crowdhook/fetch";
import { bundle, EDGE } from "./bundle.js";
import { gc } from "./garbage.js";
import { message, pins, start } from "./processes.js";
import { PATHS, SECRET, signed } from "./requests.js";
import { record } from "./results.js";
import { interleave, median, ratios } from "./rounds.js";
import { microseconds, range } from "./units.js";

/** Tells a process to measure the bundle in the file that follows, and to send what it measured. */
const MEASURE = "--measure";
const PROCESSES = 3;
const ROUNDS = 20;
const WARM_UP = 10;
const DELIVERIES = 400;
const SIDES = ["limit", "again", "ours"] as const;
type Side = (typeof SIDES)[number];

/** By side and round, microseconds of CPU time per delivery. */
type Times = Record<Side, number[]>;

async function measure(file: string): Promise<Times> {
  const { tolokaWebhook }: typeof fetchAdapter = await import(pathToFileURL(file).href);
  let heard = 0;
  const webhook = tolokaWebhook(SECRET, {
    on: {
      ASSIGNMENT_SUBMITTED: async () => {
        heard++;
      },
    },
  });
  const key = await crypto.subtle.importKey(
    "raw",
    Buffer.from(SECRET),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["verify"],
  );
  const encoder = new TextEncoder();
  const ready = () => {
    const { headers, body } = signed("toloka");
    const [, ts = "", sign = ""] = /ts=(\d+), sign=(\w+)/.exec(headers["toloka-signature"] ?? "") ?? [];
    const sized = { ...headers, "content-length": String(Buffer.byteLength(body)) };
    return { init: { method: "POST", headers: sized, body: Buffer.from(body) }, ts, sign };
  };
  type Ready = ReturnType<typeof ready>;
  const url = `http://127.0.0.1${PATHS.toloka}`;
  const limit = async (deliveries: readonly Ready[]) => {
    for (const { init, ts, sign } of deliveries) {
      const request = new Request(url, init);
      const body = new Uint8Array(await request.arrayBuffer());
      const prefix = encoder.encode(`${ts}.1.`);
      const data = new Uint8Array(prefix.length + body.length);
      data.set(prefix);
      data.set(body, prefix.length);
      if (!(await crypto.subtle.verify("HMAC", key, Buffer.from(sign, "hex"), data))) {
        throw new Error("The limit does not verify.");
      }
    }
  };
  const run: Record<Side, typeof limit> = {
    limit,
    again: limit,
    async ours(deliveries) {
      heard = 0;
      for (const { init } of deliveries) {
        const response = await webhook(new Request(url, init));
        if (response.status !== 200) throw new Error(`crowdhook answered ${response.status}.`);
      }
      if (heard !== deliveries.length) throw new Error(`${heard} of ${deliveries.length} events came out.`);
    },
  };
  let deliveries: Ready[] = [];
  let prepared = -1;
  const results = await interleave(SIDES, WARM_UP + ROUNDS, async (side, round) => {
    if (prepared !== round) {
      deliveries = Array.from({ length: DELIVERIES }, () => ready());
      prepared = round;
    }
    // What waits for its turn, and the garbage of the side before, are no part of this one.
    await setImmediate();
    gc({ type: "minor" });
    const begin = process.cpuUsage();
    await run[side](deliveries);
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / DELIVERIES;
  });
  const of = (side: Side) => (results.get(side) ?? []).slice(WARM_UP);
  return { limit: of("limit"), again: of("again"), ours: of("ours") };
}

function report(runs: readonly Times[]): void {
  const of = (side: Side) => runs.flatMap((times) => times[side]);
  const names: Record<Side, string> = {
    limit: "**the limit**: the Request, its bytes, one `subtle.verify`",
    again: "the limit, once more",
    ours: "**crowdhook**: the Request, the fetch adapter, a Response",
  };
  record("web-crypto", {
    title: "WebCrypto",
    method: `\
The fetch adapter as an app for edge runtimes bundles it, with one asynchronous listener and claims in memory, on Node${pins ? " and one core" : ""}. The limit builds the same \`Request\`, reads its \`arrayBuffer()\`, and calls \`crypto.subtle.verify\` with a key that was imported once; it parses nothing and makes no \`Response\`. Deliveries of one event, each of them new. ${ROUNDS} rounds in each of ${PROCESSES} processes, after ${WARM_UP} to warm up, ${DELIVERIES} deliveries a side in each; CPU time, that of WebCrypto's threads included.`,
    tables: [
      {
        caption: "Time per delivery of one event",
        head: ["side", "ratio", "time"],
        rows: SIDES.map((side) => [
          names[side],
          range(ratios(of(side), of("limit"))),
          microseconds(1000 * median(of(side))),
        ]),
      },
    ],
    figures: { "web-crypto": ratios(of("ours"), of("limit")).median },
  });
}

if (process.argv.includes(MEASURE)) {
  process.send?.(await measure(process.argv.at(-1) as string));
  process.disconnect();
} else {
  const { outputFiles } = await bundle('export * from "@crowdhook/fetch";', EDGE);
  const file = path.join(import.meta.dirname, "fetch-adapter.mjs");
  writeFileSync(file, outputFiles[0]?.contents ?? "");
  const runs: Times[] = [];
  for (let i = 0; i < PROCESSES; i++) runs.push(await message(start("web-crypto", [MEASURE, file], 0)));
  report(runs);
}

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type SignedDelivery, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked, Commands, Told } from "./load-worker.js";
import { TARGETS } from "./targets.js";
import { chunked, connect, headOf, type Reply, requestOf, type Wire } from "./wire.js";

const SECRET = "12345";
const KIB = 1024;
/** `LOAD=5` is five times as much of everything. */
const LOAD = Number(process.env.LOAD ?? 1);
const SLOW = 300 * LOAD;
/** Each takes a file on either side: not more than a process may have. */
const IDLE = Math.min(2_000 * LOAD, filesAllowed() - 500);
const FORGED = 3_600 * LOAD;
const ABORTED = 1_200 * LOAD;
/** Memory that is taken whatever is sent, such as by code that is compiled. In bytes. */
const SLACK = 1.5 * KIB * KIB;
const OK: Reply = { status: 200, code: undefined };

function filesAllowed(): number {
  return Number(execFileSync("sh", ["-c", "ulimit -n"]).toString()) || Number.POSITIVE_INFINITY;
}

/** A server in a process of its own, that is asked one thing at a time. */
interface Server {
  readonly process: ChildProcess;
  ask<Name extends keyof Commands>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): ReturnType<Commands[Name]>;
}

function startServer(): Server {
  const child = spawn(process.execPath, ["--expose-gc", "--import", "tsx", "load-worker.ts"], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`The server's process has ended with ${code}.`);
  });
  // It does at the end.
  ended.catch(() => {});
  const ask = async (name: Asked["name"], ...args: readonly unknown[]) => {
    child.send({ name, args } satisfies Asked);
    const [told] = (await Promise.race([once(child, "message"), ended])) as [Told];
    if ("failure" in told) throw new Error(told.failure);
    return told.answer;
  };
  return { process: child, ask: ask as Server["ask"] };
}

let ids = 0;
/** A delivery of an event that has not been before. */
function fresh(fields: object = {}): SignedDelivery {
  const events = [tolokaEvent("POOL_CLOSED", { uuid: `event-${ids++}`, ...fields })];
  return signToloka({ secret: SECRET, events });
}

/** Has so many deliveries handled one after another, and calls for each. */
async function deliver(wire: Wire, count: number, between = async () => {}): Promise<void> {
  for (let i = 0; i < count; i++) {
    wire.write(requestOf(fresh()));
    expect(await wire.replies(1)).toEqual([OK]);
    await between();
  }
}

const kib = (bytes: number) => `${(bytes / KIB).toFixed(1)} KiB`;

describe.each(TARGETS.filter(({ name }) => name !== "core"))(
  "$name under load:",
  {
    timeout: 30_000 * LOAD,
  },
  ({ name }) => {
    let server: Server;
    beforeAll(async () => {
      server = startServer();
    });
    afterAll(async () => {
      server.process.kill();
    });

    const report = (line: string) => console.log(`${name}: ${line}`);

    /** A new app that has handled some deliveries, so that what it needs once is there. */
    async function start(options?: Parameters<Commands["start"]>[2]) {
      const port = await server.ask("start", name, SECRET, options);
      let connections = 0;
      const open = async (count: number): Promise<Wire[]> => {
        const wires: Wire[] = [];
        // The queue of those that a server has not accepted yet is short, and one too many waits for a second.
        while (wires.length < count) {
          const batch = Math.min(200, count - wires.length);
          connections += batch;
          wires.push(...(await Promise.all(Array.from({ length: batch }, () => connect(port)))));
          await server.ask("until", { connections });
        }
        return wires;
      };
      const [good] = (await open(1)) as [Wire];
      await deliver(good, 50);
      return { good, open, handled: 50 };
    }

    /** Nothing is in flight, nothing is left, and nothing went wrong that nobody saw. */
    async function stop() {
      expect(await server.ask("stop")).toEqual({ resources: [], troubles: [] });
    }

    test(`${SLOW} slow senders of heads and bodies hold up nobody, hold little, and are cut off by the host`, async () => {
      const { good, open, handled } = await start();
      const before = await server.ask("memory");
      const wires = await open(SLOW);
      const { headers } = fresh();
      const slow = wires.map((wire, i) => {
        if (i % 2 === 0) {
          wire.write("POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nX-Slow: ");
          return { ...wire, drop: "x" };
        }
        const chunks = i % 4 === 1;
        wire.write(
          headOf({
            ...headers,
            ...(chunks ? { "transfer-encoding": "chunked" } : { "content-length": "90000" }),
          }),
        );
        return { ...wire, drop: chunks ? chunked("x") : "x" };
      });
      await server.ask("until", { open: SLOW + 1, requests: handled + SLOW / 2 });
      const opened = await server.ask("memory");

      let cut = 0;
      for (const { socket } of slow) socket.once("close", () => cut++);
      let next = 0;
      await deliver(good, 100, async () => {
        for (let i = 0; i < SLOW / 5; i++) {
          const { write, drop } = slow[next++ % SLOW] as (typeof slow)[number];
          write(drop);
        }
      });
      expect(cut).toBe(0);
      const dribbled = await server.ask("memory");
      expect(await server.ask("tally")).toMatchObject({ handled: handled + 100, most: 1, logged: [] });

      await server.ask("limit", 1);
      const answers = await Promise.all(slow.map(({ rest }) => rest));
      await server.ask("limit", 0);
      const told = answers.filter((answer) => answer.startsWith("HTTP/1.1 408 ")).length;
      // Those that are not told are only closed.
      expect(answers.filter((answer) => answer !== "" && !answer.startsWith("HTTP/1.1 408 "))).toEqual([]);
      const each = (memory: typeof before) =>
        `${kib((memory.heap - before.heap) / SLOW)} (${kib((memory.rss - before.rss) / SLOW)} RSS)`;
      report(
        `a slow sender takes ${each(opened)}, ${each(dribbled)} after 20 bytes one by one; ${told} of ${SLOW} were told 408`,
      );
      expect((dribbled.heap - before.heap) / SLOW).toBeLessThan(24 * KIB);
      const [again] = (await open(1)) as [Wire];
      await deliver(again, 10);
      await stop();
    });

    test("slow senders that fill maxInFlight keep others out for as long as the host lets them, and no longer", async () => {
      const { good, open, handled } = await start({ maxInFlight: 20 });
      const slow = await open(20);
      for (const { write } of slow) write(`${headOf({ ...fresh().headers, "content-length": "90000" })}{`);
      await server.ask("until", { requests: handled + 20 });
      const delivery = requestOf(fresh());
      good.write(delivery);
      expect(await good.replies(1)).toEqual([{ status: 503, code: "OVERLOADED" }]);
      await server.ask("limit", 1);
      await Promise.all(slow.map(({ rest }) => rest));
      await server.ask("limit", 0);
      const [again] = (await open(1)) as [Wire];
      again.write(delivery);
      expect(await again.replies(1)).toEqual([OK]);
      await stop();
    });

    test(`${IDLE} idle connections, half of them kept alive after a delivery, take nothing but their memory`, async () => {
      const { good, open, handled } = await start();
      const before = await server.ask("memory");
      const wires = await open(IDLE);
      const used = wires.filter((_, i) => i % 2 === 0);
      for (const wire of used) wire.write(requestOf(fresh()));
      for (const wire of used) expect(await wire.replies(1)).toEqual([OK]);
      await server.ask("until", { open: IDLE + 1 });
      const opened = await server.ask("memory");
      await deliver(good, 100);
      expect(await server.ask("until", {})).toMatchObject({ open: IDLE + 1, connections: IDLE + 1 });
      expect(await server.ask("tally")).toMatchObject({
        handled: handled + used.length + 100,
        most: 1,
        logged: [],
      });
      report(
        `${IDLE} idle connections, each ${kib((opened.heap - before.heap) / IDLE)} (${kib((opened.rss - before.rss) / IDLE)} RSS)`,
      );
      expect((opened.heap - before.heap) / IDLE).toBeLessThan(8 * KIB);
      for (const { socket } of wires) socket.destroy();
      await server.ask("until", { open: 1 });
      await stop();
    });

    test(`of ${FORGED} forged deliveries each gets 401, is logged once a minute at most, looked into as seldom, and leaves nothing`, async () => {
      const begun = performance.now();
      const { good, open, handled } = await start();
      const genuine = fresh({ filler: "x".repeat(2_000) });
      const large = fresh({ filler: Array.from({ length: 2_000 }, (_, i) => ({ i })) });
      const long = "x".repeat(2_000);
      const forgeries = [
        { delivery: signToloka({ secret: "guessed", body: genuine.body }), code: "SIGNATURE_MISMATCH" },
        {
          delivery: { ...genuine, body: genuine.body.replace("MANUAL", "MANUEL") },
          code: "SIGNATURE_MISMATCH",
        },
        { delivery: { ...large, body: large.body.replace("MANUAL", "MANUEL") }, code: "SIGNATURE_MISMATCH" },
        { delivery: { headers: {}, body: genuine.body }, code: "SIGNATURE_MISSING" },
        {
          delivery: { headers: { "toloka-signature": `{v=1, ts=1, sign=${long}}` }, body: genuine.body },
          code: "SIGNATURE_MALFORMED",
        },
        {
          delivery: signToloka({ secret: SECRET, body: genuine.body, timestamp: Date.now() - 600_000 }),
          code: "TIMESTAMP_OUT_OF_TOLERANCE",
        },
      ];
      const atOnce = forgeries.map(({ delivery }) => requestOf(delivery)).join("");
      const expected = forgeries.map(({ code }) => ({ status: 401, code }));
      const forgers = await open(10);
      /** A third of them, good traffic beside it. */
      const third = async () => {
        let done = false;
        const flood = Promise.all(
          forgers.map(async ({ write, replies }) => {
            for (let i = 0; i < FORGED / 3 / forgers.length / forgeries.length; i++) {
              write(atOnce);
              expect(await replies(forgeries.length)).toEqual(expected);
            }
          }),
        ).finally(() => {
          done = true;
        });
        let delivered = 0;
        while (!done) {
          await deliver(good, 1);
          delivered++;
        }
        await flood;
        return { delivered, ...(await server.ask("memory")) };
      };
      const thirds = [await third(), await third(), await third()] as const;
      const delivered = handled + thirds.reduce((sum, { delivered }) => sum + delivered, 0);
      const { secrets, logged, ...tally } = await server.ask("tally");
      expect(tally).toMatchObject({ handled: delivered, most: 1 });
      const minutes = 1 + Math.floor((performance.now() - begun) / 60_000);
      const codes = logged.map((line) => /^crowdhook: toloka: ([A-Z_]+): /.exec(line)?.[1] ?? line);
      const refused = new Set(forgeries.map(({ code }) => code));
      expect([...new Set(codes)].sort()).toEqual([...refused].sort());
      expect(codes.length).toBeLessThanOrEqual(refused.size * minutes);
      // The secret is asked for once to verify, and once more only to find out why a signature does not fit.
      const explained = secrets - delivered - (FORGED / forgeries.length) * 4;
      expect(explained).toBeGreaterThan(0);
      expect(explained).toBeLessThanOrEqual(minutes);
      const grown = thirds[2].heap - thirds[0].heap;
      report(
        `${FORGED} forged beside ${delivered} good: heap ${kib(thirds[0].heap)} after a third, ${kib(grown)} more at the end; ${codes.length} lines logged, ${explained} looked into`,
      );
      expect(grown).toBeLessThan(SLACK);
      await stop();
    });

    test(`${ABORTED} uploads that break off run nothing that was not sent whole, and leave nothing`, async () => {
      const { good, open, handled } = await start({ maxBodySize: 50_000 });
      let whole = 0;
      const breakOff = async ({ socket }: Wire, i: number) => {
        const delivery = fresh({ filler: "x".repeat(1_000) });
        const half = delivery.body.slice(0, 600);
        const texts = [
          headOf({ ...delivery.headers, "content-length": "1500" }),
          headOf({ ...delivery.headers, "content-length": "1500" }) + half,
          headOf({ ...delivery.headers, "transfer-encoding": "chunked" }) + chunked(half),
          headOf({ ...delivery.headers, "content-length": "60000" }) + half,
          requestOf(delivery),
        ] as const;
        const kind = i % texts.length;
        await new Promise<void>((resolve) => socket.write(texts[kind] as string, () => resolve()));
        if (kind === texts.length - 1) whole++;
        // What was sent before a reset may not be read any more.
        if (kind === texts.length - 1 || i % 2 === 0) socket.destroy();
        else socket.resetAndDestroy();
      };
      const third = async () => {
        for (let i = 0; i < ABORTED / 3; i += 100) {
          await Promise.all((await open(100)).map(breakOff));
          await server.ask("until", { open: 1 });
        }
        return server.ask("memory");
      };
      const thirds = [await third(), await third(), await third()] as const;
      await deliver(good, 10);
      expect(await server.ask("tally")).toMatchObject({ handled: handled + whole + 10, most: 1, logged: [] });
      const grown = thirds[2].heap - thirds[0].heap;
      report(`${ABORTED} aborted: heap ${kib(thirds[0].heap)} after a third, ${kib(grown)} more at the end`);
      expect(grown).toBeLessThan(SLACK);
      await stop();
    });

    test("bodies in chunks of a byte hold up nobody, and are handled once", async () => {
      const { good, open, handled } = await start();
      const before = await server.ask("memory");
      const sent = (await open(4)).map((wire) => ({
        ...wire,
        delivery: fresh({ filler: "x".repeat(40_000) }),
      }));
      let size = 0;
      let bytes = good.socket.bytesWritten;
      for (const { write, delivery } of sent) {
        const text = headOf({ ...delivery.headers, "transfer-encoding": "chunked" }) + chunked(delivery.body);
        size += delivery.body.length;
        bytes += text.length;
        write(text);
      }
      await server.ask("until", { open: 5, bytes });
      const kept = ((await server.ask("memory")).heap - before.heap) / size;
      await deliver(good, 10);
      for (const { write } of sent) write("0\r\n\r\n");
      for (const { replies } of sent) expect(await replies(1)).toEqual([OK]);
      expect(await server.ask("tally")).toMatchObject({ handled: handled + 14, most: 1, logged: [] });
      report(`a byte of a body that comes byte by byte takes ${kept.toFixed(1)} bytes`);
      await stop();
    });

    test("a body in chunks of a byte that is too large is not kept but refused, and holds up nobody", async () => {
      const { good, open } = await start({ maxBodySize: 10_000 });
      const [wire] = (await open(1)) as [Wire];
      const before = await server.ask("memory");
      const { headers, body } = fresh({ filler: "x".repeat(60_000) });
      const text = headOf({ ...headers, "transfer-encoding": "chunked" }) + chunked(body);
      wire.write(text);
      await server.ask("until", { open: 2, bytes: good.socket.bytesWritten + text.length });
      expect((await server.ask("memory")).heap - before.heap).toBeLessThan(SLACK);
      wire.write("0\r\n\r\n");
      expect(await wire.replies(1)).toEqual([{ status: 413, code: "BODY_TOO_LARGE" }]);
      await deliver(good, 1);
      await stop();
    });

    test("deliveries that are pipelined are handled once and answered in order, and leave no listener behind", async () => {
      const { good, open, handled } = await start();
      const wires = await open(4);
      const { listeners } = await server.ask("tally");
      const outcomes: [delivery: Omit<SignedDelivery, "method">, reply: Reply][] = [
        [fresh(), OK],
        [signToloka({ secret: "guessed" }), { status: 401, code: "SIGNATURE_MISMATCH" }],
        [signToloka({ secret: SECRET, body: "[]" }), { status: 400, code: "ENVELOPE_INVALID" }],
        [
          { headers: {}, body: "{}" },
          { status: 401, code: "SIGNATURE_MISSING" },
        ],
      ];
      const shared = Array.from(
        { length: 500 },
        (_, i) => outcomes[i % outcomes.length] as (typeof outcomes)[number],
      );
      const own = wires.map(() => Array.from({ length: 100 }, () => fresh()));
      for (const [i, { write }] of wires.entries()) {
        write(shared.map(([delivery]) => requestOf(delivery)).join(""));
        write(own[i]?.map(requestOf).join("") ?? "");
      }
      for (const { replies } of wires) {
        expect(await replies(500)).toEqual(shared.map(([, reply]) => reply));
        expect(await replies(100)).toEqual(Array.from({ length: 100 }, () => OK));
      }
      await deliver(good, 1);
      expect(await server.ask("tally")).toMatchObject({
        handled: handled + 1 + 4 * 100 + 1,
        most: 1,
        listeners,
      });
      await stop();
    });
  },
);

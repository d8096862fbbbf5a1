import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { expect } from "vitest";
import type { Running } from "../cli-process.js";
import { type Outgoing, request } from "../request.js";
import type { Host } from "./hosts.js";

export const SECRET = "12345";

/** An app that was built from a recipe and listens. */
export interface App {
  readonly host: Host;
  readonly origin: string;
  readonly running: Running;
}

export interface Check {
  /** Heading of the column in docs/guides/hosts.md. */
  readonly column: string;
  readonly name: string;
  run(app: App): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function sendHttp2(origin: string, { path, headers, body = "" }: Outgoing): Promise<Answer> {
  const session = http2.connect(origin);
  try {
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    stream.end(body);
    const [{ ":status": status }] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    return { status: Number(status), text: await text(stream) };
  } finally {
    session.close();
  }
}

function send({ host, origin }: App, outgoing: Outgoing): Promise<Answer> {
  const headers = { "content-type": "application/json", ...outgoing.headers };
  const asked = { path: host.path ?? "/toloka-webhook", ...outgoing, headers };
  return host.http2 ? sendHttp2(origin, asked) : request(origin, asked);
}

function signed({ secret = SECRET, text = "" } = {}) {
  const pool = randomUUID();
  const events = [{ ...tolokaEvent("POOL_CLOSED", { pool_id: pool }), text }];
  return { pool, delivery: signToloka({ secret, events }) };
}

/** Returns the answer without its message and its counts of 0. */
function outcome({ status, text }: Answer): Record<string, unknown> {
  const { message: _, ...content } = JSON.parse(text);
  return { status, ...Object.fromEntries(Object.entries(content).filter(([, value]) => value !== 0)) };
}

/** Sends a delivery that is handled, after which everything printed for earlier deliveries has arrived. */
async function handled(app: App, text?: string) {
  const { pool, delivery } = signed(text === undefined ? {} : { text });
  expect(outcome(await send(app, delivery))).toEqual({ status: 200, handled: 1 });
  await app.running.printed(new RegExp(`closed ${pool}`));
  return { pool, delivery };
}

function timesPrinted(app: App, pool: string): number {
  return app.running.stdout.split(`closed ${pool}`).length - 1;
}

export const CHECKS: readonly Check[] = [
  {
    column: "handled",
    name: "a genuine delivery gets 200 and the listener runs",
    async run(app) {
      await handled(app);
    },
  },
  {
    column: "forged",
    name: "a forged delivery gets 401 and no listener runs",
    async run(app) {
      const { pool, delivery } = signed({ secret: "guessed" });
      expect(outcome(await send(app, delivery))).toEqual({ status: 401, code: "SIGNATURE_MISMATCH" });
      await handled(app);
      expect(timesPrinted(app, pool)).toBe(0);
    },
  },
  {
    column: "redelivery",
    name: "a redelivery is a duplicate and the listener does not run again",
    async run(app) {
      const { pool, delivery } = await handled(app);
      expect(outcome(await send(app, delivery))).toEqual({ status: 200, duplicate: 1 });
      await handled(app);
      expect(timesPrinted(app, pool)).toBe(1);
    },
  },
  {
    column: "200 kB",
    name: "a delivery of 200 kB is handled",
    async run(app) {
      await handled(app, "é".repeat(100_000));
    },
  },
  {
    column: "other paths",
    name: "a request to another path gets the app's own answer",
    async run(app) {
      const { elsewhere } = app.host;
      if (elsewhere === undefined) throw new Error("This host routes outside of the app.");
      const { path, status, echoes = false } = elsewhere;
      const body = JSON.stringify({ pool: randomUUID() });
      const answer = await send(app, { path, body });
      expect(answer.status).toBe(status);
      if (echoes) expect(JSON.parse(answer.text)).toEqual(JSON.parse(body));
      await handled(app);
    },
  },
];

/** Returns the checks that apply to a host. */
export function checksFor({ elsewhere }: Host): readonly Check[] {
  return CHECKS.filter(({ column }) => elsewhere !== undefined || column !== "other paths");
}

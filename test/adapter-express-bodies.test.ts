import type http from "node:http";
import { PassThrough } from "node:stream";
import { tolokaWebhook } from "@crowdhook/express";
import express5 from "express";
import express4 from "express4";
import { describe, expect, test, vi } from "vitest";
import { ask, askInTwoPieces, genuine, logged, SECRET, statusAndCode, UNAVAILABLE } from "./mounted.js";

describe.each([
  ["Express 5", express5],
  ["Express 4", express4 as unknown as typeof express5],
])("%s", (_, express) => {
  const keepBytes = (req: http.IncomingMessage, _res: unknown, bytes: Buffer) => {
    Object.assign(req, { rawBody: bytes });
  };
  const keepText = (req: http.IncomingMessage, _res: unknown, bytes: Buffer) => {
    Object.assign(req, { rawBody: bytes.toString() });
  };
  const keepAtEnd = (req: http.IncomingMessage) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk) => chunks.push(chunk));
    req.on("end", () => Object.assign(req, { rawBody: Buffer.concat(chunks) }));
  };
  const keepByLoop = async (req: http.IncomingMessage) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    Object.assign(req, { rawBody: Buffer.concat(chunks) });
  };

  test.each<[string, () => express5.RequestHandler]>([
    ["express.raw()", () => express.raw({ type: "*/*" })],
    ["express.text()", () => express.text({ type: "*/*" })],
    ["express.json() that keeps the bytes in rawBody", () => express.json({ verify: keepBytes })],
    ["express.json() that keeps the text in rawBody", () => express.json({ verify: keepText })],
    ["express.json() for other types", () => express.json({ type: "application/vnd.api+json" })],
    [
      "a host that sets rawBody and a parsed body",
      () => async (req, _res, next) => {
        const chunks = [];
        for await (const chunk of req) chunks.push(chunk);
        const rawBody = Buffer.concat(chunks);
        Object.assign(req, { rawBody, body: JSON.parse(rawBody.toString()) });
        next();
      },
    ],
    [
      "a listener that appends each chunk to rawBody",
      () => (req, _res, next) => {
        const gathered = Object.assign(req, { rawBody: "" });
        req.on("data", (chunk) => {
          gathered.rawBody += chunk;
        });
        next();
      },
    ],
    [
      "a listener that sets rawBody when the stream ends",
      () => (req, _res, next) => {
        keepAtEnd(req);
        next();
      },
    ],
    [
      "a listener that sets rawBody when the stream ends, and a pause",
      () => (req, _res, next) => {
        keepAtEnd(req);
        setImmediate(next);
      },
    ],
    [
      "a loop that sets rawBody when the stream ends",
      () => (req, _res, next) => {
        void keepByLoop(req);
        next();
      },
    ],
    [
      "a loop that sets rawBody when the stream ends, and a pause",
      () => (req, _res, next) => {
        void keepByLoop(req);
        setImmediate(next);
      },
    ],
    [
      "a listener that reads by read() and keeps nothing",
      () => (req, _res, next) => {
        req.on("readable", () => {
          while (req.read() !== null);
        });
        next();
      },
    ],
    [
      "a pipe into another stream",
      () => (req, _res, next) => {
        req.pipe(new PassThrough()).resume();
        next();
      },
    ],
    [
      "a listener that only counts the bytes",
      () => (req, _res, next) => {
        req.on("data", () => {});
        next();
      },
    ],
    [
      "code that paused the request",
      () => (req, _res, next) => {
        req.pause();
        next();
      },
    ],
    [
      "middleware whose writeHead wrapper does not return the response",
      () => (_req, res, next) => {
        const { writeHead } = res;
        Object.assign(res, {
          writeHead(...args: Parameters<typeof writeHead>) {
            writeHead.apply(this, args);
          },
        });
        next();
      },
    ],
    [
      "a body getter that throws",
      () => (req, _res, next) => {
        Object.defineProperty(req, "body", {
          get() {
            throw new Error("not JSON");
          },
        });
        next();
      },
    ],
  ])("webhook reads the bytes after %s", async (_, before) => {
    const app = express().use(before(), tolokaWebhook(SECRET));
    expect(statusAndCode(await ask(app, genuine()))).toEqual({ status: 200 });
  });

  test("webhook after a plain express.json() answers BODY_UNAVAILABLE at once and logs the fix", async () => {
    const received = vi.fn();
    const webhook = tolokaWebhook(SECRET, { on: { POOL_CLOSED: received } });
    const app = express().use(express.json(), webhook);
    const log = await logged(async () =>
      expect(statusAndCode(await ask(app, genuine()))).toEqual(UNAVAILABLE),
    );
    expect(log).toContain("before app.use(express.json())");
    expect(log).toContain("req.rawBody = bytes");
    expect(received).not.toHaveBeenCalled();
  });

  test("webhook waits for text that other code still appends to rawBody", async () => {
    const app = express().use((req, _res, next) => {
      const gathered = Object.assign(req, { rawBody: "" });
      req.setEncoding("utf8");
      req.on("data", (chunk) => {
        gathered.rawBody += chunk;
        if (gathered.rawBody.length === chunk.length) next();
      });
    }, tolokaWebhook(SECRET));
    expect(await askInTwoPieces(app)).toBe(200);
  });

  test.each<[string, (req: http.IncomingMessage) => unknown]>([
    ["sets rawBody when the stream ends", keepAtEnd],
    ["loops over the stream and sets rawBody", keepByLoop],
    [
      "appends bytes to rawBody",
      (req) => {
        const gathered: { rawBody: Buffer } = Object.assign(req, { rawBody: Buffer.alloc(0) as never });
        req.on("data", (chunk) => {
          gathered.rawBody = Buffer.concat([gathered.rawBody, chunk]);
        });
      },
    ],
  ])("webhook waits for the end of a body that other code %s", async (_, keep) => {
    const app = express().use((req, _res, next) => {
      keep(req);
      req.once("data", () => setImmediate(next));
    }, tolokaWebhook(SECRET));
    expect(await askInTwoPieces(app)).toBe(200);
  });

  test("webhook answers BODY_UNAVAILABLE when other code reads the stream to its end and keeps nothing", async () => {
    const app = express().use((req, _res, next) => {
      req.once("data", () => setImmediate(next));
      req.resume();
    }, tolokaWebhook(SECRET));
    await logged(async () => expect(await askInTwoPieces(app)).toBe(500));
  });

  test("webhook ends its wait when the sender hangs up while other code reads the stream", async () => {
    const webhook = tolokaWebhook(SECRET);
    const settled = new Promise<void>((resolve) => {
      const app = express().use((req, res, next) => {
        keepAtEnd(req);
        req.once("data", () => {
          setImmediate(() => {
            void webhook(req, res, next).then(resolve);
            req.socket.destroy();
          });
        });
      });
      void askInTwoPieces(app).catch(() => {});
    });
    await settled;
  });

  test.each<[string, (req: http.IncomingMessage) => unknown]>([
    ["other code reads by read()", (req) => req.on("readable", () => {})],
    ["the request decodes its bytes as latin1", (req) => req.setEncoding("latin1")],
  ])("webhook answers BODY_UNAVAILABLE at once when %s", async (_, before) => {
    const app = express().use((req, _res, next) => {
      before(req);
      next();
    }, tolokaWebhook(SECRET));
    await logged(async () => expect(statusAndCode(await ask(app, genuine()))).toEqual(UNAVAILABLE));
  });

  test("webhook answers BODY_UNAVAILABLE at once while other code reads the stream", async () => {
    const app = express().use((req, _res, next) => {
      req.once("data", () => {
        req.pause();
        next();
      });
    }, tolokaWebhook(SECRET));
    await logged(async () => expect(statusAndCode(await ask(app, genuine()))).toEqual(UNAVAILABLE));
  });
});

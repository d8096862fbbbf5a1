import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { Logger } from "../src/observing/log.js";
import type { ReceiverOptions } from "../src/options.js";
import { signToloka } from "../src/testing.js";
import { closed, contentOf, NOW, receiverWith, SECRET, signed } from "./deliveries.js";

const LEVELS = ["debug", "info", "warn", "error"] as const;
/** Every method with which code could reach the console. */
const CONSOLE = [...LEVELS, "log", "trace"] as const;

beforeEach(() => {
  vi.restoreAllMocks();
  for (const method of CONSOLE) vi.spyOn(console, method).mockImplementation(() => {});
});

function consoleCalls(): unknown[] {
  return CONSOLE.flatMap((method) => vi.mocked(console[method]).mock.calls);
}

/** Returns a logger with the four methods, and the level and the name of each line that it got. */
function recording() {
  const lines: [string, string][] = [];
  const methods = LEVELS.map((level) => [level, (line: string) => void lines.push([level, line])]);
  const names = () =>
    lines.map(([level, line]) => `${level} ${/^crowdhook: toloka: (\w+): /.exec(line)?.[1]}`);
  return { logger: Object.fromEntries(methods) as unknown as Logger, lines, names };
}

const broken = (): never => {
  throw new Error("broken");
};
const unreadable = () => signToloka({ secret: SECRET, timestamp: NOW, body: "no JSON" });
const old = () => signToloka({ secret: SECRET, timestamp: NOW - 400_000, events: [closed("old")] });
const forged = () => signToloka({ secret: "guessed", timestamp: NOW, events: [closed("forged")] });

describe("logger", () => {
  test("the logger gets every line and the console none: warn for refused and ignored, error for the rest", async () => {
    const { logger, names, lines } = recording();
    const failing = receiverWith({ logger });
    failing.on("POOL_CLOSED", broken);
    await failing.handle(forged());
    await failing.handle(old());
    await failing.handle({ method: "POST", headers: {}, body: "{}" });
    await failing.handle({ method: "POST", headers: { "toloka-signature": "{v=1" }, body: "{}" });
    await failing.handle(signed({ ...closed("new"), type: "NEW" }));
    expect(names()).toEqual([
      "warn SIGNATURE_MISMATCH",
      "warn TIMESTAMP_OUT_OF_TOLERANCE",
      "warn SIGNATURE_MISSING",
      "warn SIGNATURE_MALFORMED",
      "warn IGNORED",
    ]);
    lines.length = 0;
    await failing.handle(signed(closed("x")));
    await failing.handle(unreadable());
    await failing.handle({ method: "POST", headers: {}, body: () => ({ code: "BODY_UNAVAILABLE" }) });
    const observe = broken;
    const claims = { ...memoryClaims(), claim: broken };
    // Works when the receiver checks it, and fails at the first delivery.
    const clock = vi.fn<() => number>(broken).mockReturnValueOnce(0);
    for (const options of [
      { claims },
      { sink: { accept: broken } },
      { observe },
      { secret: broken },
      { orderingKey: broken },
      { clock },
      { tolerance: 300_000 },
    ] satisfies ReceiverOptions[]) {
      const receiver = receiverWith({ logger, ...options });
      receiver.onAny(() => {});
      await receiver.handle(signed(closed("x")));
    }
    expect(names()).toEqual([
      "error EVENT_FAILED",
      "error BODY_NOT_JSON",
      "error BODY_UNAVAILABLE",
      "error STORE_UNAVAILABLE",
      "error SINK_UNAVAILABLE",
      "error observe",
      "error SECRET_UNAVAILABLE",
      "error orderingKey",
      "error INTERNAL_ERROR",
      "error tolerance",
    ]);
    for (const [, line] of lines) expect(line).not.toContain(SECRET);
    expect(consoleCalls()).toEqual([]);
  });

  test("the console gets every line with console.error when no logger is set", async () => {
    const receiver = receiverWith();
    receiver.onAny(broken);
    await receiver.handle(forged());
    await receiver.handle(signed(closed("x")));
    expect(console.error).toHaveBeenCalledTimes(2);
    expect(consoleCalls()).toHaveLength(2);
  });

  test("the logger gets the stack of a listener's error in the same call as the line", async () => {
    const { logger, lines } = recording();
    const receiver = receiverWith({ logger });
    receiver.onAny(broken);
    await receiver.handle(signed(closed("x")));
    expect(lines).toEqual([
      [
        "error",
        expect.stringMatching(
          /EVENT_FAILED: event "x" .*Error: broken \[docs.*#event_failed\]\n {4,}at .*logger\.test/,
        ),
      ],
    ]);
  });

  test("the logger gets a repeated line at most once a minute", async () => {
    vi.useFakeTimers({ now: NOW });
    try {
      const { logger, lines } = recording();
      const receiver = receiverWith({ logger });
      for (let i = 0; i < 10; i++) await receiver.handle(forged());
      expect(lines).toHaveLength(1);
      vi.advanceTimersByTime(60_000);
      await receiver.handle(forged());
      expect(lines).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });

  test("a logger that throws changes no reply and no event", async () => {
    const logger = { debug: broken, info: broken, warn: vi.fn(broken), error: vi.fn(broken) };
    const logging = receiverWith({ logger });
    const plain = receiverWith();
    const ran: string[] = [];
    for (const receiver of [logging, plain]) {
      let isFirst = true;
      receiver.on("POOL_CLOSED", ({ id }) => {
        ran.push(id);
        if (isFirst) {
          isFirst = false;
          broken();
        }
      });
    }
    const delivery = signed(closed("x"), { ...closed("y"), type: "NEW" });
    for (const each of [forged(), old(), unreadable(), delivery, delivery, delivery]) {
      expect(await logging.handle(each)).toEqual(await plain.handle(each));
    }
    expect(contentOf(await logging.handle(delivery))).toMatchObject({ duplicate: 1, ignored: 1 });
    expect(ran).toEqual(["x", "x", "x", "x"]);
    expect(logger.warn).toHaveBeenCalled();
    expect(logger.error).toHaveBeenCalled();
  });

  test("a logger of pino or winston works, whose methods need their this", async () => {
    class PinoLike implements Logger {
      readonly #lines: string[] = [];
      get lines() {
        return this.#lines;
      }
      debug(line: string) {
        this.#lines.push(`debug ${line}`);
      }
      info(line: string) {
        this.#lines.push(`info ${line}`);
      }
      warn(line: string) {
        this.#lines.push(`warn ${line}`);
      }
      error(line: string) {
        this.#lines.push(`error ${line}`);
      }
    }
    const logger = new PinoLike();
    const receiver = receiverWith({ logger });
    receiver.onAny(broken);
    await receiver.handle(forged());
    await receiver.handle(signed(closed("x")));
    expect(logger.lines).toEqual([
      expect.stringMatching(/^warn crowdhook: toloka: SIGNATURE_MISMATCH: /),
      expect.stringMatching(/^error crowdhook: toloka: EVENT_FAILED: /),
    ]);
    expect(consoleCalls()).toEqual([]);
  });

  test("the console itself works as a logger", async () => {
    const receiver = receiverWith({ logger: console });
    receiver.onAny(broken);
    await receiver.handle(forged());
    await receiver.handle(signed(closed("x")));
    expect([vi.mocked(console.warn).mock.calls.length, vi.mocked(console.error).mock.calls.length]).toEqual([
      1, 1,
    ]);
  });

  test.each<[string, unknown]>([
    ["warn", {}],
    ["warn", { error() {} }],
    ["error", { warn() {} }],
    ["error", { warn() {}, error: "error" }],
    ["warn", null],
    ["warn", "console"],
  ])("createReceiver throws and names the method %s when the logger lacks it (%#)", (method, logger) => {
    expect(() => receiverWith({ logger: logger as Logger })).toThrow(
      `logger must have the method ${method}.`,
    );
  });
});

describe("a hostile or failing log", () => {
  test("a message that looks like a stack gets no minute of its own", async () => {
    const { logger, lines } = recording();
    const receiver = receiverWith({ logger });
    let n = 0;
    receiver.onAny(() => {
      throw new Error(`a\n    at x${n++}`);
    });
    for (let i = 0; i < 20; i++) await receiver.handle(signed(closed(`event-${i}`)));
    expect(lines).toHaveLength(1);
  });

  test("a line stays short, and on its line, when the message holds line breaks and separators", async () => {
    const { logger, lines } = recording();
    const receiver = receiverWith({ logger });
    receiver.onAny(() => {
      throw new Error(`\u2028${"\n".repeat(20_000)}`);
    });
    await receiver.handle(signed(closed("event")));
    const [, line = ""] = lines[0] ?? [];
    expect(line.length).toBeLessThan(10_500);
    expect(line).not.toMatch(/[\u2028\u2029]|\n(?! {4})/);
  });

  test("a logger whose promise rejects changes no reply and leaves no unhandled rejection", async () => {
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    const reject = () => Promise.reject(new Error("disk full"));
    const logger = { debug: reject, info: reject, warn: reject, error: reject };
    expect((await receiverWith({ logger }).handle(unreadable())).status).toBe(400);
    await new Promise(setImmediate);
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

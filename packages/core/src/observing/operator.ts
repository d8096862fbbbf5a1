import { describeError, kindOf } from "../errors.js";
import type { Operator } from "../listeners/run.js";
import { type Log, quote } from "./log.js";

/** How many ignored types are remembered, by their first 100 characters. A sender can invent types. */
const TYPES_MAX = 100;

/** Returns what tells the operator, in the log, of events that the app does not handle. */
export function createOperator(log: Log): Operator {
  const ignored = new Set<string>();
  return {
    onUnreported({ id, type }, failures) {
      for (const error of failures) {
        // Each kind of error has its own minute, so that one does not hide another.
        const name = `EVENT_FAILED ${kindOf(error)} ${placeOf(error)}`;
        if (!log.isDue(name)) continue;
        log.print(
          "EVENT_FAILED",
          `event ${quote(id)} of type ${quote(type)} failed. Register onError to get its errors. ${describeError(error)}`,
        );
      }
    },
    onIgnored(event) {
      const type = quote(event.type);
      if (ignored.has(type) || ignored.size >= TYPES_MAX) return;
      ignored.add(type);
      log.print(
        "IGNORED",
        `no listener takes events of type ${type}. Register one with on(${type}, …) or onAny, or end the subscription.`,
      );
    },
  };
}

/** Returns the line of the stack where an error was thrown; empty if there is none. */
function placeOf(error: unknown): string {
  try {
    const { stack = "", message } = error as Error;
    // Behind the message, which may itself look like a stack.
    const frames = stack.slice(stack.indexOf(message) + message.length);
    return /\n\s+at [^\n]*/.exec(frames)?.[0].trim() ?? "";
  } catch {
    return "";
  }
}

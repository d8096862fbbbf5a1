import type { HandledRequest } from "./handled.js";
import type { ListenOptions } from "./options.js";

/** Returns whether a delivery is shown: `--event` and `--status` both have to fit if both are given. */
export function createFilter({ event, status }: ListenOptions): (handled: HandledRequest) => boolean {
  const types = event && new Set(event);
  return (handled) => {
    const hasType = !types || handled.inspection?.events.some(({ type }) => types.has(type)) === true;
    return hasType && (!status || status.some((wanted) => fits(statusOf(handled), wanted)));
  };
}

/** Returns the status of the answer; `undefined` for a delivery that an earlier `listen` has answered. */
export function statusOf({ forwarded, reply }: HandledRequest): number | undefined {
  return forwarded ? (forwarded.answer?.status ?? 502) : reply?.status;
}

/** @param wanted A status, or its first digit and `xx`. */
function fits(status: number | undefined, wanted: string): boolean {
  return wanted.endsWith("xx") ? String(status).startsWith(wanted.charAt(0)) : String(status) === wanted;
}

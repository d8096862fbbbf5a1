import { UnfitEventError } from "../errors.js";
import type { ReceivedEvent } from "../event.js";
import { typeName } from "../text/describe.js";

/** Wraps the app's `orderingKey`: a key that is neither a string nor `undefined` fails its event. */
export function checkedKey(orderingKey: (event: ReceivedEvent) => unknown) {
  return (event: ReceivedEvent): string | undefined => {
    const key = orderingKey(event);
    if (key === undefined || typeof key === "string") return key;
    throw new UnfitEventError(`returned neither a string nor undefined, but ${typeName(key)},`);
  };
}

/** A place in the queue of an ordering key. */
export interface Place {
  /** Resolves when all earlier places of the key have left; `undefined` if there are none. */
  readonly ahead: Promise<void> | undefined;
  leave(): void;
}

/** Makes one queue for each ordering key. A place waits for all earlier places of its key. */
export function createOrderingQueues() {
  const last = new Map<string, Promise<void>>();
  return {
    /** Without a key, the place waits for no other place, and no other place waits for it. */
    enter(key: string | undefined): Place {
      if (key === undefined) return { ahead: undefined, leave() {} };
      const ahead = last.get(key);
      let leave = () => {};
      const passed = new Promise<void>((resolve) => {
        // Resolves only after the earlier places, so that a place that leaves early lets no later place overtake them.
        leave = () => resolve(ahead);
      });
      last.set(key, passed);
      passed.then(() => {
        if (last.get(key) === passed) last.delete(key);
      });
      return { ahead, leave };
    },
  };
}

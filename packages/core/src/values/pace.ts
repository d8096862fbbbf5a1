/** How many bytes are hashed in one turn of the event loop: about a millisecond of work. */
const BYTES_PER_TURN = 1024 * 1024;

// Taken when the module loads, because tests replace timers. Web runtimes have no `setImmediate`.
const { setTimeout, setImmediate = (next: () => void) => setTimeout(next, 0) } = globalThis;

/** Returns whether so many bytes are too many to hash in one turn. */
export function needsPace(bytes: number): boolean {
  return bytes > BYTES_PER_TURN;
}

/**
 * Makes the pace of one delivery. Await it before each hash: when the bytes of this turn are used up, it
 * waits for the next turn, so that a delivery with many secrets does not block the event loop.
 */
export function createPace(): (bytes: number) => Promise<void> | undefined {
  let hashed = 0;
  return (bytes) => {
    hashed += bytes;
    if (hashed === bytes || !needsPace(hashed)) return undefined;
    hashed = bytes;
    return new Promise((resolve) => void setImmediate(resolve));
  };
}

/**
 * Starts a stopwatch. The returned function returns the milliseconds since then by the monotonic clock or
 * by `clock`, whichever are more: a monotonic clock stops while the machine is suspended, and a wall clock
 * can be set back.
 */
export function stopwatch(clock: () => number = () => Date.now()): () => number {
  const monotonic = performance.now();
  const wall = clock();
  return () => Math.max(performance.now() - monotonic, clock() - wall);
}

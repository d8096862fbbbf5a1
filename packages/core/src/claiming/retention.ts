/** How long a settled event counts as done, in milliseconds, unless its signature can be replayed for longer. */
export const DONE_MS = 24 * 60 * 60 * 1000;

/**
 * How long a recoverable receiver remembers handled events, in milliseconds. Recovery goes back no further,
 * because it would run older events again.
 */
export const RECOVERABLE_MS = 7 * DONE_MS;

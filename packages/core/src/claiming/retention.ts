/** How long a settled event counts as done, in milliseconds, unless its signature can be replayed for longer. */
export const DONE_MS = 24 * 60 * 60 * 1000;

/**
 * How long a recoverable receiver remembers handled events, in milliseconds. Recovery goes back no further,
 * because it would run older events again.
 */
export const RECOVERABLE_MS = 7 * DONE_MS;

/**
 * How long an event counts as done if its provider signs no time, in milliseconds. A captured request can be
 * replayed at any time, and runs again when the event is forgotten.
 */
export const UNTIMED_MS = 7 * DONE_MS;

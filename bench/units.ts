/** How figures are written. */
import type { Spread } from "./rounds.js";

export const factor = (value: number) => value.toFixed(2);
export const range = ({ median, low, high }: Spread) => `${factor(median)} (${factor(low)}–${factor(high)})`;
export const microseconds = (nanoseconds: number) => `${(nanoseconds / 1000).toFixed(2)} µs`;
export const milliseconds = (value: number) => `${value.toFixed(1)} ms`;
export const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
export const megabytes = (bytes: number) => `${(bytes / 1_000_000).toFixed(1)} MB`;
export const percent = (share: number) => `${Math.round(100 * share)} %`;

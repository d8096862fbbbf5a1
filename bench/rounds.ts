/**
 * How sides are measured against each other: each of them in every round, one after the other, for a
 * short while. What disturbs a round disturbs all of its sides, so a figure is the median of the
 * ratios within the rounds, not the ratio of two medians.
 */

/**
 * Runs every side once a round. Each round begins with another side, and every second one goes
 * backwards: nobody always comes first, or after the same one.
 *
 * @returns what the runs gave, by side and then by round.
 */
export async function interleave<Side, Result>(
  sides: readonly Side[],
  rounds: number,
  run: (side: Side, round: number) => Result | Promise<Result>,
): Promise<Map<Side, Result[]>> {
  const results = new Map<Side, Result[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < rounds; round++) {
    const first = round % sides.length;
    const order = [...sides.slice(first), ...sides.slice(0, first)];
    if (round % 2 === 1) order.reverse();
    for (const side of order) results.get(side)?.push(await run(side, round));
  }
  return results;
}

export interface Spread {
  readonly median: number;
  /** A quarter of the values is below. */
  readonly low: number;
  /** A quarter of the values is above. */
  readonly high: number;
}

/** The value that so great a share of the values is below, from 0 to 1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place % 1);
}

export const median = (values: readonly number[]) => quantile(values, 0.5);

export function spread(values: readonly number[]): Spread {
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) };
}

/** Of what two sides took in the same rounds. */
export function ratios(values: readonly number[] = [], to: readonly number[] = []): Spread {
  return spread(values.map((value, round) => value / (to[round] ?? Number.NaN)));
}

import { parseTolokaTime } from "@crowdhook/core/toloka";
import type * as z from "zod/mini";
import { checkId } from "../arguments.js";
import { SubscriptionError } from "../errors.js";
import type { ApiCall } from "../http/call.js";
import type { ApiClient } from "../http/client.js";
import { malformed } from "../http/failures.js";
import { type ASSIGNMENT, ASSIGNMENT_PAGE, POOL } from "./responses.js";

type Query = NonNullable<ApiCall["query"]>;

export type TolokaAssignmentView = z.output<typeof ASSIGNMENT>;
export type TolokaPoolView = z.output<typeof POOL>;

/** Reads the records that Toloka keeps about the work in its pools. */
export interface TolokaRecords {
  /**
   * Returns one page of a search.
   *
   * @throws SubscriptionError also if the page has other items than the query asks for.
   */
  assignments(query: Query): Promise<z.output<typeof ASSIGNMENT_PAGE>>;
  /** Returns `undefined` if the pool does not exist. */
  pool(id: string): Promise<TolokaPoolView | undefined>;
}

/** An assignment holds its tasks and answers. So a page of Toloka's maximum can be larger than a response may be. */
const PAGE_SIZE = 100;

export function createRecords(api: ApiClient): TolokaRecords {
  /** Pages of this size were not too large so far. */
  let limit = PAGE_SIZE;
  return {
    async assignments(query) {
      for (;;) {
        const call: ApiCall = {
          method: "GET",
          path: "/assignments",
          query: { ...query, limit },
          idempotent: true,
        };
        try {
          const page = await api.request(call, ASSIGNMENT_PAGE);
          checkPage(call, query, page);
          return page;
        } catch (error) {
          const isTooLarge = error instanceof SubscriptionError && error.code === "RESPONSE_TOO_LARGE";
          if (!isTooLarge || limit === 1) throw error;
          limit = Math.ceil(limit / 10);
        }
      }
    },
    async pool(id) {
      const call: ApiCall = { method: "GET", path: `/pools/${checkId("pool_id", id)}`, idempotent: true };
      try {
        return await api.request(call, POOL);
      } catch (error) {
        if (error instanceof SubscriptionError && error.status === 404) return undefined;
        throw error;
      }
    },
  };
}

const RANGE = /^(created|submitted|accepted|rejected|skipped|expired)_(gte?|lte)$/;

/**
 * Checks that the page has the assignments that the query asks for, in order. Otherwise events would be
 * missed, or events would run that nobody asked for.
 */
function checkPage(call: ApiCall, query: Query, { items, has_more }: z.output<typeof ASSIGNMENT_PAGE>): void {
  const require = (holds: boolean, problem: string) => {
    if (!holds) throw malformed("toloka", call, problem);
  };
  require(!has_more || items.length > 0, "has_more: expected false, because there are no items");
  const ranges = Object.entries(query).flatMap(([name, bound]) => {
    const [, field, range] = RANGE.exec(name) ?? [];
    return field ? [{ field, isEnd: range === "lte", bound: timeOf(bound) }] : [];
  });
  let last = Number.NEGATIVE_INFINITY;
  for (const [index, item] of items.entries()) {
    require(item.pool_id === query.pool_id, `items.${index}.pool_id: expected the pool that was asked for`);
    for (const { field, isEnd, bound } of ranges) {
      const time = timeOf(item[field]);
      const isInRange = isEnd ? time <= bound : time >= bound;
      require(isInRange, `items.${index}.${field}: expected a time in the range that was asked for`);
    }
    if (query.sort === "id") continue;
    const time = timeOf(item[String(query.sort)]);
    require(time >= last, `items.${index}.${query.sort}: expected items in order of this time`);
    last = time;
  }
}

/** Returns Unix time in milliseconds; `NaN`, which is in no range, for anything but a time. */
function timeOf(value: unknown): number {
  return Number(parseTolokaTime(typeof value === "string" ? value : "") ?? Number.NaN);
}

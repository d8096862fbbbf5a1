import type * as z from "zod/mini";
import { checkId } from "../arguments.js";
import { SubscriptionError } from "../errors.js";
import type { ApiCall } from "../http/call.js";
import type { ApiClient } from "../http/client.js";
import { type ASSIGNMENT, ASSIGNMENT_PAGE, POOL } from "./responses.js";

export type TolokaAssignmentView = z.output<typeof ASSIGNMENT>;
export type TolokaPoolView = z.output<typeof POOL>;

/** Reads the records that Toloka keeps about the work in its pools. */
export interface TolokaRecords {
  /** Returns one page of a search. */
  assignments(query: NonNullable<ApiCall["query"]>): Promise<z.output<typeof ASSIGNMENT_PAGE>>;
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
          return await api.request(call, ASSIGNMENT_PAGE);
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

import type { ReceivedEvent } from "@crowdhook/core";
import { rawData } from "@crowdhook/core";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/express";
import { describe, expectTypeOf, test } from "vitest";

describe("event types", () => {
  test("the type alone narrows the data in onAny", () => {
    tolokaWebhook("12345").onAny((event) => {
      if (event.type === "POOL_CLOSED") expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
      if (event.type === "ASSIGNMENT_SUBMITTED")
        expectTypeOf(event.data.assignment_id).toEqualTypeOf<string>();
      if (event.problems) expectTypeOf(event.type).toExtend<string>();
    });
  });

  test("a switch over the type narrows the data", () => {
    const poolOf = (event: ReceivedEvent<TolokaEvents>) => {
      switch (event.type) {
        case "POOL_CLOSED":
          return event.data.pool_id;
        case "TEST_EVENT":
          return event.occurredAt;
        default:
          return undefined;
      }
    };
    expectTypeOf(poolOf).returns.toEqualTypeOf<string | Date | undefined>();
  });

  test("a misspelt field does not compile, and an undocumented one is reached by rawData", () => {
    tolokaWebhook("12345").on("POOL_CLOSED", (event) => {
      // @ts-expect-error it is pool_id
      event.data.poolId;
      expectTypeOf(rawData(event).poolId).toEqualTypeOf<unknown>();
    });
  });
});

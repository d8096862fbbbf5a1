import type { DurableSink, FailedFilter } from "@crowdhook/core/sink";
import { RequestError } from "./http/respond.js";
import type { DeadLetters } from "./wire.js";

/** The part of a durable sink that the page shows. */
export interface FailedEvents extends Pick<DurableSink, "failed" | "replay"> {
  /** Absent if the sink does not block keys. */
  blockedKeys?(): Promise<readonly string[]>;
}

const LETTERS_MAX = 200;

/** Returns the failed events that match, oldest failure first. */
export async function deadLettersOf(sink: FailedEvents, query: URLSearchParams): Promise<DeadLetters> {
  const failed = await sink.failed({
    ...filterOf(query.get("provider"), query.get("type")),
    limit: LETTERS_MAX + 1,
  });
  return {
    failed: failed.slice(0, LETTERS_MAX).map(({ id, event, error, attempts, failedAt }) => ({
      id,
      provider: event.provider,
      type: event.type,
      error,
      attempts,
      failedAt: Number(failedAt),
    })),
    hasMore: failed.length > LETTERS_MAX,
    blockedKeys: await sink.blockedKeys?.(),
  };
}

/** Queues one failed event again, or all that match. Returns how many. */
export async function replayDeadLetters(
  sink: FailedEvents,
  { id, provider, type }: Readonly<Record<string, unknown>>,
): Promise<number> {
  if (typeof id === "string") return Number(await sink.replay(id));
  if (id !== undefined) throw new RequestError("id must be a text.");
  return sink.replay(filterOf(provider, type));
}

function filterOf(provider: unknown, type: unknown): FailedFilter {
  return {
    ...(typeof provider === "string" && provider !== "" && { provider }),
    ...(typeof type === "string" && type !== "" && { type }),
  };
}

import type { DurableSink, FailedFilter } from "@crowdhook/core/sink";
import { RequestError } from "./http/respond.js";
import type { DeadLetters } from "./wire.js";

const LETTERS_MAX = 200;

/** Returns the failed events that match, oldest failure first. */
export async function deadLettersOf(sink: DurableSink, query: URLSearchParams): Promise<DeadLetters> {
  const failed = await sink.failed({
    ...filterOf(query.get("provider"), query.get("type")),
    limit: LETTERS_MAX,
  });
  return {
    failed: failed.map(({ id, event, error, attempts, failedAt }) => ({
      id,
      provider: event.provider,
      type: event.type,
      error,
      attempts,
      failedAt: Number(failedAt),
    })),
    blockedKeys: blocksKeys(sink) ? await sink.blockedKeys() : undefined,
  };
}

/** Queues one failed event again, or all that match. Returns how many. */
export async function replayDeadLetters(
  sink: DurableSink,
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

function blocksKeys(sink: DurableSink): sink is DurableSink & { blockedKeys(): Promise<readonly string[]> } {
  return "blockedKeys" in sink;
}

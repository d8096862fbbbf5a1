import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { ReceivedEvent, ReceiverOptions } from "@crowdhook/core";
import { signProlific, signToloka } from "@crowdhook/core/testing";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { seededRandom } from "./seeded-random.js";
import type { ProlificApi } from "./subscriptions-prolific-api.js";
import type { TolokaApi } from "./subscriptions-toloka-api.js";

export const SECRET = "s3cr3t-of-the-receiver";
export const MINUTE_MS = 60_000;
/** The share of deliveries that a platform loses. */
const LOST = 0.2;

/** The receivers' clock is ahead of this machine's, so that recovery looks at what has just happened. */
export const clock = () => Date.now() + 10 * MINUTE_MS;
const ago = (milliseconds: number) => new Date(clock() - milliseconds);

/**
 * Starts a recoverable receiver of a provider, which was created an hour ago. `handled` gets each event that
 * its listeners succeed for.
 */
export async function startReceiver(
  provider: "toloka" | "prolific",
  handled: ReceivedEvent[],
  options: Partial<ReceiverOptions> = {},
) {
  const now = options.clock ?? clock;
  let age = 60 * MINUTE_MS;
  const create = (provider === "toloka" ? tolokaWebhook : prolificWebhook) as typeof tolokaWebhook;
  const webhook = create(SECRET, {
    recoverable: true,
    tolerance: 3_600,
    ...options,
    clock: () => now() - age,
  });
  age = 0;
  webhook.onAny((event) => void handled.push(event));
  webhook.onError(() => {});
  const server = http.createServer(webhook);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${provider}-webhook`,
    webhook,
    receiver: webhook.receiver,
    async close() {
      await webhook.receiver.close();
      server.closeAllConnections();
      server.close();
    },
  };
}

type Delivery = ReturnType<typeof signToloka>;

/** Returns whether the URL answered 2xx. `undefined` as URL is an endpoint that is down. */
async function delivers(url: string | undefined, { method, headers, body }: Delivery): Promise<boolean> {
  if (url === undefined) return false;
  const { status } = await fetch(url, { method, headers, body });
  return status === 200;
}

/** Adds submissions to a subscription of Prolific's and delivers them. It gives up those that it loses. */
export async function happenAtProlific(
  api: ProlificApi,
  subscription: string,
  count: number,
  url: string | undefined,
  { seed = 1, idsDiffer = false }: { seed?: number; idsDiffer?: boolean } = {},
): Promise<void> {
  const random = seededRandom(seed);
  const list = api.events.get(subscription) ?? [];
  api.events.set(subscription, list);
  for (let i = 0; i < count; i++) {
    const id = randomUUID();
    const at = ago(8 * MINUTE_MS - i);
    const payload = {
      event_type: "submission.status.change",
      resource_id: `submission-${list.length}`,
      participant_id: "participant-1",
      status: "APPROVED",
    };
    const isLost = random() < LOST;
    const deliveryId = idsDiffer ? randomUUID() : id;
    const delivery = signProlific({ secret: SECRET, timestamp: clock(), event: payload, id: deliveryId });
    // Half of the lost ones arrive, but Prolific does not get the answer.
    const arrives = !isLost || random() < 0.5;
    const isAnswered = arrives && (await delivers(url, delivery)) && !isLost;
    list.push({
      id,
      datetime_created: at.toISOString(),
      datetime_updated: at.toISOString(),
      event_type: payload.event_type,
      resource_id: payload.resource_id,
      target_url: "https://example.com/prolific-webhook",
      status: isAnswered ? "SUCCEEDED" : "FAILED",
      payload,
    } as never);
  }
}

const STEPS = {
  created: "ASSIGNMENT_CREATED",
  submitted: "ASSIGNMENT_SUBMITTED",
  rejected: "ASSIGNMENT_REJECTED",
  accepted: "ASSIGNMENT_APPROVED",
} as const;

/** Lets assignments in a pool at Toloka be taken, submitted, rejected and accepted. Loses some deliveries. */
export async function happenAtToloka(
  api: TolokaApi,
  pool_id: string,
  count: number,
  url: string | undefined,
  seed = 1,
): Promise<void> {
  const random = seededRandom(seed);
  for (let i = 0; i < count; i++) {
    const id = `a-${pool_id}-${String(api.assignments.length).padStart(6, "0")}`;
    const assignment: Record<string, string> = {
      id,
      task_suite_id: `suite-${i}`,
      pool_id,
      status: "ACCEPTED",
    };
    api.assignments.push(assignment);
    for (const [step, [field, type]] of Object.entries(STEPS).entries()) {
      // Seconds, so that many assignments share a time.
      const time = ago(8 * MINUTE_MS - step * MINUTE_MS - i)
        .toISOString()
        .slice(0, 19);
      assignment[field] = time;
      if (random() < LOST) continue;
      const event = {
        uuid: randomUUID(),
        event_time: time,
        project_id: "project-1",
        pool_id,
        webhook_subscription_id: "sub",
        type,
        task_suite_id: assignment.task_suite_id,
        assignment_id: id,
      };
      await delivers(url, signToloka({ secret: SECRET, timestamp: clock(), events: [event] }));
    }
  }
}

/** Subscribes a pool to all that `happenAtToloka` lets happen. */
export function subscribePool(api: TolokaApi, pool_id: string): void {
  api.pools.set(pool_id, { id: pool_id, project_id: "project-1", status: "OPEN" });
  for (const event_type of Object.values(STEPS)) {
    api.add({ webhook_url: "https://example.com/toloka-webhook", event_type, pool_id });
  }
}

/** Returns the facts that events report, in order. A fact that was handled twice is there twice. */
export function factsOf(handled: readonly ReceivedEvent[]): string[] {
  const subjectOf = (data: Record<string, unknown>) => data.assignment_id ?? data.resource_id ?? data.pool_id;
  return handled.map(({ type, data }) => `${type} ${subjectOf(data as Record<string, unknown>)}`).sort();
}

/** Returns the facts that happened at the platforms, in order. */
export function factsAt(api: TolokaApi | ProlificApi): string[] {
  if ("assignments" in api) {
    return api.assignments
      .flatMap((each) =>
        Object.entries(STEPS).flatMap(([field, type]) => (each[field] ? `${type} ${each.id}` : [])),
      )
      .sort();
  }
  return [...api.events.values()]
    .flat()
    .map((each) => `${each.event_type} ${each.resource_id}`)
    .sort();
}

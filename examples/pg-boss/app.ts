import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { pgBossSink } from "@crowdhook/pg-boss";

/** The sink and the listeners, which the server and the worker share. */
const { DATABASE_URL, DATA_DIR: dataDir = "data", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
// Without a DATABASE_URL the events are stored in a folder, which only one process can open.
export const sink = pgBossSink(DATABASE_URL === undefined ? { dataDir } : { connection: DATABASE_URL });

export const toloka = tolokaWebhook(TOLOKA_SECRET, { sink });
toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
export const prolific = prolificWebhook(PROLIFIC_SECRET, { sink });
prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));

/** Begins to run the listeners of stored events. */
export function work() {
  sink.work(toloka.receiver, { concurrency: 10 });
  sink.work(prolific.receiver, { concurrency: 10 });
}

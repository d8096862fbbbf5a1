import type { QueueEngine } from "@crowdhook/core/sink";
import type { Connection } from "./connection.js";
import { FOREVER_S, jobIdOf } from "./job.js";

/** Keeps times as jobs of a queue without a worker, because a role of the app may not create a table. */
export function savedTimes(
  connection: Connection,
  schema: string,
  queue: string,
): Required<Pick<QueueEngine, "latestOccurrence" | "recordOccurrence">> {
  return {
    async latestOccurrence(key) {
      const { db } = await connection.openQueue(queue);
      const { rows } = await db.executeSql(
        `SELECT data->>'time' AS time FROM ${schema}.job WHERE name = $1 AND id = $2`,
        [queue, jobIdOf(queue, key)],
      );
      return rows[0] && Number(rows[0].time);
    },

    async recordOccurrence(key, time) {
      const { boss, db } = await connection.openQueue(queue);
      const id = jobIdOf(queue, key);
      const data = { key, time };
      // Does nothing if the job exists. A strict queue takes no job without a key.
      await boss.insert(queue, [
        { id, data, singletonKey: id, retentionSeconds: FOREVER_S, deleteAfterSeconds: 0 },
      ]);
      await db.executeSql(
        `UPDATE ${schema}.job SET data = $3::jsonb
         WHERE name = $1 AND id = $2 AND (data->>'time')::bigint < $4`,
        [queue, id, JSON.stringify(data), time],
      );
    },
  };
}

import { testClock } from "@crowdhook/core/testing";

/** The signed example in Toloka's documentation. */
export const DOCUMENTED = {
  secret: "12345",
  timestamp: 946728000000,
  delivery: {
    headers: {
      "content-type": "application/json",
      "toloka-signature":
        "{v=1, ts=946728000000, sign=609af3eefd4c12b6afad30ab456efcd21fe82f4247d3340151a3ca0c97a6cbcb}",
    },
    body: '{"events":[{"event_time":"2000-01-01T12:00:00","project_id":"project-1","pool_id":"pool-1","uuid":"00000000-0000-0000-0000-000000000000","task_suite_id":"task-suite-1","assignment_id":"assignment-1","webhook_subscription_id":"subscription-1","type":"ASSIGNMENT_APPROVED"}]}',
  },
};

export const { secret, timestamp } = DOCUMENTED;
export const clock = testClock(timestamp);

/** The lines of the listeners for the delivery on its way. */
export const printed: string[] = [];
export function print(line: string): void {
  printed.push(line);
}

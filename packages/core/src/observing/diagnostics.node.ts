import { channel } from "node:diagnostics_channel";

const deliveries = channel("crowdhook:delivery");

export function hasSubscribers(): boolean {
  return deliveries.hasSubscribers;
}

export function publish(record: object): void {
  if (deliveries.hasSubscribers) deliveries.publish(record);
}

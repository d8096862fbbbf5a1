import * as z from "zod/mini";
import type { StandardSchema } from "../standard-schema.js";

/** The part of an event's `data` that every Argilla event has. `rawData(event)` has the whole resource. */
export interface ArgillaEventData {
  /** The dataset, the record or the response that the event is about. */
  id: string;
}

const resource: StandardSchema<ArgillaEventData> = z.object({ id: z.string() });

/** Argilla's event types, for `standardWebhooks(ARGILLA_EVENTS)`. Source: Argilla's guide "Webhooks internal". */
export const ARGILLA_EVENTS = {
  "dataset.created": resource,
  "dataset.updated": resource,
  "dataset.deleted": resource,
  "dataset.published": resource,
  "record.created": resource,
  "record.updated": resource,
  "record.deleted": resource,
  "record.completed": resource,
  "response.created": resource,
  "response.updated": resource,
  "response.deleted": resource,
};

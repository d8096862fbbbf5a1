import * as z from "zod/mini";
import type { ReceivedEvent } from "../../event.js";
import { isObject } from "../../text/describe.js";
import type { EnvelopeDefinition } from "../defining/definition.js";
import type { Schemas } from "../event-validator.js";

/** The user who caused the event. */
export interface CvatUser {
  id: number;
  username: string;
  [field: string]: unknown;
}

/** A resource as CVAT's API describes it. All have an `id` except invitations, which have a `key`. */
export type CvatResource = Record<string, unknown> & { id?: number; key?: string };

type Actions = {
  organization: "update" | "delete";
  membership: "create" | "update" | "delete";
  invitation: "create" | "delete";
  project: "create" | "update" | "delete";
  task: "create" | "update" | "delete";
  job: "create" | "update" | "delete";
  issue: "create" | "update" | "delete";
  comment: "create" | "update" | "delete";
};

/** The fields of every event about a resource. Source: CVAT's documentation, "Webhooks", "Payloads". */
export interface CvatEventData {
  /** The event's type. */
  event: string;
  webhook_id: number;
  sender: CvatUser;
}

type About<Resource extends string> = CvatEventData & { [Name in Resource]: CvatResource };
/** The changed fields as they were before. */
type Before = { before_update?: Record<string, unknown> | null | undefined };

/** CVAT's event types, such as `"create:task"`, each with its data. CVAT sends no id and no time. */
export type CvatEvents = {
  [Type in {
    [Resource in keyof Actions]: `${Actions[Resource]}:${Resource}`;
  }[keyof Actions]]: Type extends `${infer Action}:${infer Resource}`
    ? About<Resource> & (Action extends "update" ? Before : unknown)
    : never;
} & {
  /** Sent by the button that tests a webhook. */
  ping: { event: "ping"; webhook: CvatResource; sender: CvatUser };
};

const ACTIONS: { readonly [Resource in keyof Actions]: readonly Actions[Resource][] } = {
  organization: ["update", "delete"],
  membership: ["create", "update", "delete"],
  invitation: ["create", "delete"],
  project: ["create", "update", "delete"],
  task: ["create", "update", "delete"],
  job: ["create", "update", "delete"],
  issue: ["create", "update", "delete"],
  comment: ["create", "update", "delete"],
};

/** Not `z.record`, which copies the record and can collect an issue for each of its fields. */
const record = z.object({});
const sender = z.object({ id: z.number(), username: z.string() });

function schemaOf(resource: string) {
  return z.object({ event: z.string(), webhook_id: z.number(), sender, [resource]: record });
}

export const SCHEMAS = {
  ...Object.fromEntries(
    Object.entries(ACTIONS).flatMap(([resource, actions]) =>
      actions.map((action) => [`${action}:${resource}`, schemaOf(resource)]),
    ),
  ),
  ping: z.object({ event: z.string(), webhook: record, sender }),
} as unknown as Schemas<CvatEvents>;

/** CVAT sends no id, so the signature stands for the event: two deliveries with the same bytes are one event. */
export const ENVELOPE: EnvelopeDefinition = { type: "event", id: { from: "signature" }, subject: subjectOf };

/** Returns the resource and its id, such as `task:15`. */
function subjectOf({ type, data }: ReceivedEvent): string | undefined {
  const resource = type.slice(type.indexOf(":") + 1);
  const about = (data as Readonly<Record<string, unknown>>)[resource];
  const { id, key } = isObject(about) ? about : {};
  const name = typeof id === "number" ? id : key;
  return typeof name === "number" || typeof name === "string" ? `${resource}:${name}` : undefined;
}

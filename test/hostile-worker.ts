/** The process of hostile-memory.test.ts: handles one delivery, and prints the reply and which events were handled. */
import { createReceiver, type ReceivedEvent } from "@crowdhook/core";
import { createDurableSink } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";

export interface HostileOptions {
  /** One of `HOSTILE`. */
  readonly content: keyof typeof HOSTILE;
  readonly target: "listeners" | "sink";
  readonly signed: boolean;
}

/** In bytes. The default `maxBodySize`, less the valid events and the envelope. */
const SIZE = 5 * 1024 * 1024 - 2_000;

/** The costly part of a delivery: the JSON of an event's field or, for lists of events, of events. */
export const HOSTILE = {
  "a list of wrong elements": () => field("assignment_ids", `[${"0,".repeat(SIZE / 2 - 300)}0]`),
  "a list of empty objects": () => field("assignment_ids", `[${"{},".repeat(SIZE / 3 - 300)}{}]`),
  "arrays as deep as they are long": () =>
    field("extra", "[".repeat(SIZE / 2 - 300) + "]".repeat(SIZE / 2 - 300)),
  "objects as deep as they are long": () =>
    field("extra", `${'{"a":'.repeat(SIZE / 6 - 100)}0${"}".repeat(SIZE / 6 - 100)}`),
  "an object with many fields": () =>
    field("output_values", `{${Array.from({ length: SIZE / 17 }, (_, i) => `"k${i}":${i}`).join()}}`),
  "one long string": () => field("extra", JSON.stringify("x".repeat(SIZE - 1_000))),
  "many empty events": () => `${"{},".repeat(SIZE / 3)}{}`,
  "many small lists": () => field("extra", `[${"[],".repeat(SIZE / 3 - 300)}[]]`),
} as const;

function field(name: string, json: string): string {
  const event = { ...tolokaEvent("DYNAMIC_OVERLAP_COMPLETED"), uuid: "hostile", [name]: "HERE" };
  return JSON.stringify(event).replace('"HERE"', () => json);
}

async function run({ content, target, signed }: HostileOptions): Promise<void> {
  const secret = "s3cr3t";
  const handled: string[] = [];
  const take = ({ id }: ReceivedEvent) => void handled.push(id);
  const sink = createDurableSink(
    {},
    {
      name: "hostile sink",
      server: "The memory",
      createEngine: () => ({
        async store(_provider, events) {
          for (const event of events) {
            JSON.stringify(event);
            handled.push(event.id);
          }
        },
        work: () => ({ stop: async () => {} }),
        failed: async () => [],
        replay: async () => false,
        discard: async () => false,
        close: async () => {},
      }),
    },
  );
  const receiver = createReceiver(toloka, { secret, ...(target === "sink" && { sink }) });
  receiver.on("POOL_CLOSED", take);
  const valid = (uuid: string) => JSON.stringify(tolokaEvent("POOL_CLOSED", { uuid }));
  const body = `{"events":[${valid("before")},${HOSTILE[content]()},${valid("after")}]}`;
  const delivery = signToloka({ secret: signed ? secret : "guessed", body });
  const { status } = await receiver.handle(delivery);
  process.stdout.write(JSON.stringify({ size: body.length, status, handled }));
}

const [options] = process.argv.slice(2);
if (options !== undefined) await run(JSON.parse(options));

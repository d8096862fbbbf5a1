/**
 * Sends deliveries over HTTP to the Express example, and prints each one with its answer and the lines of
 * the listeners. Exits with 0 only if every answer and every line is as in the tables below.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  testClock,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { createApp } from "@crowdhook/example-express";

interface Sending {
  readonly sent: string;
  /** Default: the path of Toloka's webhook. */
  readonly path?: string;
  readonly delivery: Pick<SignedDelivery, "headers" | "body">;
  readonly answer: string;
  /** Lines that the listeners print. */
  readonly lines: readonly string[];
}

/** The signed example in Toloka's documentation. */
const DOCUMENTED = {
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

const { secret, timestamp } = DOCUMENTED;
const clock = testClock(timestamp);
const SIX_MINUTES = 6 * 60 * 1000;

function signed(...events: object[]): SignedDelivery {
  return signToloka({ secret, timestamp, events });
}

function oneOf(type: Parameters<typeof tolokaEvent>[0], line: string): Sending {
  return {
    sent: type,
    delivery: signed(tolokaEvent(type)),
    answer: "200 1 handled",
    lines: [`${type} ${line}`],
  };
}

const poolClosed = signed(tolokaEvent("POOL_CLOSED"));
const submitted = signProlific({ secret, timestamp, event: prolificEvent("submission.status.change") });

const GENUINE: readonly Sending[] = [
  {
    sent: "documented example",
    delivery: DOCUMENTED.delivery,
    answer: "200 1 handled",
    lines: ["ASSIGNMENT_APPROVED assignment-1"],
  },
  oneOf("POOL_CLOSED", "pool-1, MANUAL"),
  oneOf("ASSIGNMENT_CREATED", "assignment-1"),
  oneOf("ASSIGNMENT_SUBMITTED", "assignment-1"),
  oneOf("ASSIGNMENT_SKIPPED", "assignment-1"),
  oneOf("ASSIGNMENT_EXPIRED", "assignment-1"),
  oneOf("ASSIGNMENT_APPROVED", "assignment-1"),
  oneOf("ASSIGNMENT_REJECTED", "assignment-1"),
  oneOf("DYNAMIC_OVERLAP_COMPLETED", "task-1, 0.155"),
  oneOf("TEST_EVENT", "project-1"),
  {
    sent: "three events at once",
    delivery: signed(
      tolokaEvent("ASSIGNMENT_CREATED", { assignment_id: "assignment-2" }),
      tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: "assignment-2" }),
      tolokaEvent("POOL_CLOSED", { pool_id: "pool-2" }),
    ),
    answer: "200 3 handled",
    lines: [
      "ASSIGNMENT_CREATED assignment-2",
      "ASSIGNMENT_SUBMITTED assignment-2",
      "POOL_CLOSED pool-2, MANUAL",
    ],
  },
  {
    sent: "a type that is new",
    delivery: signed(tolokaEvent("TEST_EVENT", { type: "POOL_REOPENED" })),
    answer: "200 1 unrecognized",
    lines: ["unrecognized POOL_REOPENED"],
  },
  {
    sent: "from Prolific",
    path: "/prolific-webhook",
    delivery: submitted,
    answer: "200 1 handled",
    lines: ["submission.status.change submission-1"],
  },
];

const REFUSED: readonly Sending[] = [
  {
    sent: "tampered, one byte changed",
    delivery: { ...poolClosed, body: poolClosed.body.replace("pool-1", "pool-9") },
    answer: "401 SIGNATURE_MISMATCH",
    lines: [],
  },
  {
    sent: "stale, 6 minutes old",
    delivery: signToloka({
      secret,
      timestamp: timestamp - SIX_MINUTES,
      events: [tolokaEvent("POOL_CLOSED")],
    }),
    answer: "401 TIMESTAMP_OUT_OF_TOLERANCE",
    lines: [],
  },
  {
    sent: "unsigned",
    delivery: { headers: { "content-type": "application/json" }, body: poolClosed.body },
    answer: "401 SIGNATURE_MISSING",
    lines: [],
  },
  {
    sent: "duplicate, the first again",
    delivery: DOCUMENTED.delivery,
    answer: "200 1 duplicate",
    lines: [],
  },
  {
    sent: "Prolific's, with a new id",
    path: "/prolific-webhook",
    delivery: { ...submitted, headers: { ...submitted.headers, "x-event-id": "another" } },
    answer: "200 1 duplicate",
    lines: [],
  },
];

const COLOURS = { bold: 1, red: 31, green: 32, yellow: 33 };
const isPlain = !process.stdout.isTTY || Boolean(process.env.NO_COLOR);

function paint(colour: keyof typeof COLOURS, text: string): string {
  return isPlain ? text : `\x1b[${COLOURS[colour]}m${text}\x1b[0m`;
}

function row(sent: string, answer: string, line: string): string {
  return sent.padEnd(28) + answer.padEnd(32) + line;
}

/** Returns the status, then the code or the counts above 0: `401 SIGNATURE_MISSING`, `200 1 handled`. */
async function answerOf(response: Response): Promise<string> {
  const reply: unknown = await response.json();
  if (typeof reply !== "object" || reply === null) return `${response.status} ${JSON.stringify(reply)}`;
  if ("code" in reply) return `${response.status} ${reply.code}`;
  const counts = Object.entries(reply).filter(([, count]) => count !== 0);
  return `${response.status} ${counts.map(([outcome, count]) => `${count} ${outcome}`).join(", ")}`;
}

let printed: string[] = [];
const { app } = createApp(secret, { prolificSecret: secret, clock, log: (line) => printed.push(line) });
const server = createServer(app).listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`;

// The receiver logs what it refuses. Those lines would interrupt the table, so they come after it.
const logged: unknown[][] = [];
console.error = (...line) => void logged.push(line);

/** Sends a delivery and prints the outcome. Returns whether it is the expected one. */
async function show({ sent, path = "/toloka-webhook", delivery, ...expected }: Sending): Promise<boolean> {
  printed = [];
  const response = await fetch(`${origin}${path}`, {
    method: "POST",
    headers: delivery.headers,
    body: delivery.body,
    signal: AbortSignal.timeout(10_000),
  });
  const answer = await answerOf(response);
  const isExpected = answer === expected.answer && printed.join("\n") === expected.lines.join("\n");
  const [first = "-", ...others] = printed;
  const line = row(sent, answer, first);
  console.log(isExpected ? `${paint("green", "✓")} ${line}` : paint("red", `✗ ${line}`));
  for (const other of others) console.log(`  ${row("", "", other)}`);
  if (!isExpected) {
    const [first = "-", ...others] = expected.lines;
    console.log(paint("yellow", `  ${row("  expected:", expected.answer, first)}`));
    for (const other of others) console.log(paint("yellow", `  ${row("", "", other)}`));
  }
  return isExpected;
}

console.log(`The Express example at ${origin}, its clock at ${new Date(clock()).toISOString()}\n`);
console.log(paint("bold", `  ${row("sent", "answered", "listeners printed")}`));
let wrong = 0;
try {
  for (const sending of GENUINE) if (!(await show(sending))) wrong++;
  console.log();
  for (const sending of REFUSED) if (!(await show(sending))) wrong++;
} finally {
  server.close();
}

if (wrong > 0) for (const line of logged) console.log(...line);
const total = GENUINE.length + REFUSED.length;
console.log(
  wrong === 0
    ? paint("green", `\nAll ${total} deliveries were answered and handled as expected.`)
    : paint("red", `\n${wrong} of ${total} deliveries had another outcome than expected.`),
);
process.exitCode = wrong === 0 ? 0 : 1;

/**
 * Sends deliveries over HTTP to `app.ts`, and prints each one with its answer and the lines of the
 * listeners. Exits with 0 only if every answer and every line is as in the tables below.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { app } from "./app.js";
import { clock, DOCUMENTED, printed, secret, timestamp } from "./settings.js";

interface Sending {
  readonly sent: string;
  /** Default: the path of Toloka's webhook. */
  readonly path?: string;
  readonly delivery: Pick<SignedDelivery, "headers" | "body">;
  readonly answer: string;
  /** Lines that the listeners print. */
  readonly lines: readonly string[];
}

const SIX_MINUTES = 6 * 60 * 1000;

function signed(...events: object[]): SignedDelivery {
  return signToloka({ secret, timestamp, events });
}

/** @param line Absent if the app has no listener for the type. */
function oneOf(type: Parameters<typeof tolokaEvent>[0], line?: string): Sending {
  return {
    sent: type,
    delivery: signed(tolokaEvent(type)),
    answer: line === undefined ? "200 1 ignored" : "200 1 handled",
    lines: line === undefined ? [] : [`${type} ${line}`],
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
  oneOf("ASSIGNMENT_APPROVED", "assignment-1"),
  oneOf("ASSIGNMENT_SUBMITTED"),
  {
    sent: "three events at once",
    delivery: signed(
      tolokaEvent("ASSIGNMENT_APPROVED", { assignment_id: "assignment-2" }),
      tolokaEvent("ASSIGNMENT_APPROVED", { assignment_id: "assignment-3" }),
      tolokaEvent("POOL_CLOSED", { pool_id: "pool-2" }),
    ),
    answer: "200 3 handled",
    lines: [
      "ASSIGNMENT_APPROVED assignment-2",
      "ASSIGNMENT_APPROVED assignment-3",
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

const server = createServer(app).listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`;

// The receiver logs what it refuses. Those lines would interrupt the table, so they come after it.
const logged: unknown[][] = [];
console.error = (...line) => void logged.push(line);

/** Sends a delivery and prints the outcome. Returns whether it is the expected one. */
async function show({ sent, path = "/toloka-webhook", delivery, ...expected }: Sending): Promise<boolean> {
  printed.length = 0;
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

console.log(`The demo runs this app (examples/demo/app.ts):

${readFileSync(new URL("app.ts", import.meta.url), "utf8").trim()}

It listens at ${origin}, and its clock is at ${new Date(clock()).toISOString()}.
`);
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

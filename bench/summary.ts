/** The figures at the head of results.md: those that a user of the packages asks for first. */
import { factor, kilobytes, megabytes, milliseconds } from "./units.js";

interface Figure {
  /** The name under which a part records it. */
  readonly id: string;
  readonly says: string;
  readonly unit: (figure: number) => string;
}

interface Group {
  readonly title: string;
  /** How to read a figure of the group. */
  readonly reading: string;
  readonly figures: readonly Figure[];
}

const ADAPTERS = ["node", "express", "fastify", "koa", "fetch"];
const CONNECTIONS = [10, 100];

export const SUMMARY: readonly Group[] = [
  {
    title: "CPU time for a delivery of one event, beside other libraries",
    reading:
      "crowdhook takes 1.00. It also validates, claims and dispatches the event, which the others do not. Above 1.00, the other library takes longer.",
    figures: ["@octokit/webhooks", "stripe", "standardwebhooks", "svix"].map((library) => ({
      id: library === "@octokit/webhooks" ? "octokit" : library,
      says: library,
      unit: factor,
    })),
  },
  {
    title: "CPU time for a delivery, beside the least that verifying takes",
    reading: "HMAC, comparison and JSON.parse take 1.00. crowdhook has its claims in memory.",
    figures: [
      { id: "whole-1", says: "1 event", unit: factor },
      { id: "whole-100", says: "100 events", unit: factor },
      { id: "web-crypto", says: "1 event, the fetch adapter with WebCrypto", unit: factor },
    ],
  },
  {
    title: "Requests that one core answers, beside a handler written by hand",
    reading:
      "The handler written by hand answers 1.00. It verifies and parses, but does not validate, claim or limit anything.",
    figures: ADAPTERS.flatMap((adapter) =>
      CONNECTIONS.map((connections) => ({
        id: `${adapter}-${connections}`,
        says: `${adapter}, ${connections} connections`,
        unit: factor,
      })),
    ),
  },
  {
    title: "Requests that one core answers, beside octokit's middleware",
    reading: "createNodeMiddleware of @octokit/webhooks answers 1.00.",
    figures: CONNECTIONS.map((connections) => ({
      id: `octokit-requests-${connections}`,
      says: `node, ${connections} connections`,
      unit: factor,
    })),
  },
  {
    title: "Memory, size and start",
    reading: "The budget for size is a test, test/bundles.test.ts.",
    figures: [
      ...ADAPTERS.map((adapter) => ({
        id: `memory-${adapter}`,
        says: `${adapter}, 100 connections: resident memory above a server that only reads the bytes`,
        unit: megabytes,
      })),
      { id: "size", says: "an app that bundles the fetch adapter with Toloka, gzip", unit: kilobytes },
      {
        id: "cold-import",
        says: "importing the Express adapter, above importing express: CPU time",
        unit: milliseconds,
      },
    ],
  },
  {
    title: "Good deliveries beside 1,000 forged requests a second",
    reading: "Without forged requests it is 1.00.",
    figures: [{ id: "forged", says: "99th percentile of the latency", unit: factor }],
  },
];

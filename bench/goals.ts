import { factor, kilobytes, megabytes, milliseconds } from "./units.js";

/** What is aimed at, each by the figure of one part. */
export type Goal = {
  /** Of the figure that a section has for it, and of its note in notes.md. */
  readonly id: string;
  readonly says: string;
  /** Writes a figure. */
  readonly unit: (figure: number) => string;
} & ({ readonly atMost: number } | { readonly atLeast: number });

export const holds = (goal: Goal, figure: number): boolean =>
  "atMost" in goal ? figure <= goal.atMost : figure >= goal.atLeast;

const ADAPTERS = ["node", "express", "fastify", "koa", "fetch"];
const CONNECTIONS = [10, 100];

export const GOALS: readonly Goal[] = [
  {
    id: "bare-1",
    says: "1 event, claims off, as a ratio to the limit",
    unit: factor,
    atMost: 1.25,
  },
  { id: "bare-100", says: "100 events, claims off, as a ratio to the limit", unit: factor, atMost: 1.2 },
  { id: "whole-1", says: "1 event, claims in memory, as a ratio to the limit", unit: factor, atMost: 1.5 },
  {
    id: "whole-100",
    says: "100 events, claims in memory, as a ratio to the limit",
    unit: factor,
    atMost: 1.35,
  },
  {
    id: "octokit",
    says: "what @octokit/webhooks takes for 1 event, as a ratio to crowdhook with its claims",
    unit: factor,
    atLeast: 1.15,
  },
  {
    id: "stripe",
    says: "what stripe takes for 1 event, as a ratio to crowdhook with its claims",
    unit: factor,
    atLeast: 1.3,
  },
  {
    id: "svix",
    says: "what svix takes for 1 event, as a ratio to crowdhook with its claims",
    unit: factor,
    atLeast: 2.5,
  },
  {
    id: "linear",
    says: "time per event at 10, 100 and 1,000 events, the longest, as a ratio to that at 1",
    unit: factor,
    atMost: 1,
  },
  {
    id: "linear-large",
    says: "time per event at 1,000 events over that at 100, as a ratio to the limit's own",
    unit: factor,
    atMost: 1.05,
  },
  {
    id: "web-crypto",
    says: "1 event by WebCrypto on one core, as a ratio to building the Request, reading and verifying it",
    unit: factor,
    atMost: 1.35,
  },
  ...ADAPTERS.flatMap((adapter) =>
    CONNECTIONS.map((connections) => ({
      id: `${adapter}-${connections}`,
      says: `${adapter} adapter, ${connections} connections: requests, as a ratio to the hand-written handler`,
      unit: factor,
      atLeast: 0.95,
    })),
  ),
  ...CONNECTIONS.flatMap((connections): Goal[] => [
    {
      id: `octokit-requests-${connections}`,
      says: `node adapter, ${connections} connections: requests, as a ratio to octokit's middleware`,
      unit: factor,
      atLeast: 1.35,
    },
    {
      id: `octokit-cpu-${connections}`,
      says: `node adapter, ${connections} connections: CPU per request, as a ratio to octokit's middleware`,
      unit: factor,
      atMost: 0.75,
    },
  ]),
  ...ADAPTERS.map((adapter) => ({
    id: `memory-${adapter}`,
    says: `${adapter} adapter, 100 connections: memory over the bare handler's`,
    unit: megabytes,
    atMost: 8_000_000,
  })),
  {
    id: "forged",
    says: "p99 of good traffic beside 1,000 forged requests a second, as a ratio to none",
    unit: factor,
    atMost: 2,
  },
  {
    id: "size",
    says: "an app that bundles the fetch adapter with Toloka, gzip",
    unit: kilobytes,
    atMost: 12_000,
  },
  { id: "size-own", says: "our own code in it, gzip", unit: kilobytes, atMost: 5_000 },
  {
    id: "cold-import",
    says: "importing the Express adapter, over importing express alone",
    unit: milliseconds,
    atMost: 25,
  },
];

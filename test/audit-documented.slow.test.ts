import { audit } from "@crowdhook/audit";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { Webhooks } from "@octokit/webhooks";
import express, { type Request, type Response } from "express";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { expect, test } from "vitest";
import { LONG, startServer } from "./audit-runs.js";
import { definedSender, secretsOf } from "./defined-providers.js";

type Handle = (id: unknown) => void;

/** Receives as Svix's documentation shows for Express. */
function verifying(webhook: Pick<SvixWebhook, "verify">, handle: Handle) {
  return (request: Request, response: Response) => {
    try {
      webhook.verify(request.body, request.headers as Record<string, string>);
    } catch {
      response.status(400).json({});
      return;
    }
    handle(request.headers["webhook-id"]);
    response.json({});
  };
}

/** Validates as GitHub's documentation shows. The digest stands for the id, which is not signed. */
function octokit(secret: string, handle: Handle) {
  const webhooks = new Webhooks({ secret });
  return async (request: Request, response: Response) => {
    const signature = String(request.headers["x-hub-signature-256"]);
    const body = String(request.body);
    if (!(await webhooks.verify(body, signature))) {
      response.status(401).send("Unauthorized");
      return;
    }
    handle(signature.slice("sha256=".length));
    response.status(200).end();
  };
}

const standard = SENDERS.find(({ provider }) => provider.name === "standard-webhooks") as Sender;

/** Both libraries decode the body and the time before they sign them, and neither remembers handled ids. */
const FAILS = [
  "time-changed",
  "body-decoded",
  "once-same-delivery",
  "once-signed-anew",
  "once-concurrent",
  "end-nothing-twice",
];

const EXAMPLES = [
  {
    name: "standardwebhooks",
    sender: standard,
    start: (secret: string, handle: Handle) => verifying(new StandardWebhook(secret), handle),
    fails: FAILS,
  },
  {
    name: "svix",
    sender: standard,
    start: (secret: string, handle: Handle) => verifying(new SvixWebhook(secret), handle),
    fails: FAILS,
  },
  {
    name: "@octokit/webhooks",
    sender: definedSender("id-from-signature"),
    start: octokit,
    fails: [
      "body-decoded",
      "once-same-delivery",
      "once-concurrent",
      "once-each-body",
      "once-after-others",
      "end-nothing-twice",
    ],
  },
];

test.for(EXAMPLES)(
  "the documented example of $name handles events twice",
  LONG,
  async ({ sender, start, fails }, { onTestFinished }) => {
    const [secret] = secretsOf(sender);
    const handled: unknown[] = [];
    const app = express();
    app.get("/handled", (_, response) => void response.json({ handled }));
    app.post(
      "/webhook",
      express.raw({ type: "application/json" }),
      start(secret, (id) => handled.push(id)),
    );
    app.use((_error: unknown, _request: Request, response: Response, _next: unknown) => {
      response.status(413).end();
    });
    const origin = await startServer(onTestFinished, app);
    const report = await audit({
      url: `${origin}/webhook`,
      provider: sender,
      secrets: [secret],
      report: `${origin}/handled`,
      timeout: 30,
    });
    const failed = report.results.filter(({ level, status }) => level === "MUST" && status === "failed");
    expect(failed.map(({ id }) => id)).toEqual(fails);
    expect(report.verdict).toBe("unsafe");
  },
);

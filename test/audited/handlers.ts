import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { ReceivedEvent } from "@crowdhook/core";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { senderNamed } from "../defined-providers.js";
import { APPS } from "../serve-provider.js";
import { carefulProlific, carefulToloka, remembering } from "./careful.js";
import { type App, type Handler, onExpress, program, reported } from "./handler.js";
import { naiveProlific, naiveToloka } from "./naive.js";
import { octokitCvat, octokitProlific, octokitToloka } from "./octokit.js";
import { standardWebhooksToloka } from "./standardwebhooks.js";
import { standardWebhooksExample, svixExample } from "./svix.js";

const toloka = senderNamed("toloka");
const prolific = senderNamed("prolific");
const standardWebhooks = senderNamed("standard-webhooks");
const cvat = senderNamed("cvat");

const python = spawnSync("python3", ["--version"], { encoding: "utf8" });
const pythonMissing =
  python.status === 0
    ? undefined
    : "SKIPPED: no python3 on the PATH. Run `apt-get install python3` to audit the handlers in Python.";

function documented(sender: Sender): Handler {
  return program({
    name: `as documented by ${sender.provider.title}`,
    sender,
    made: `the documentation's example in Python, rewritten, in a careful server; ${python.stdout?.trim()}`,
    command: ["python3"],
    file: "documented.py",
    missing: pythonMissing,
    environment: (secret) => ({ SECRET: secret }),
    report: "/handled",
  });
}

const example = {
  sender: toloka,
  environment: (secret: string) => ({ TOLOKA_SECRET: secret, REPORT_TOKEN: "only-here" }),
  report: "/handled/only-here",
} as const;

const examplePython = program({
  ...example,
  name: "examples/audit/python.py",
  made: `by hand, by all rules of this audit; ${python.stdout?.trim()}`,
  command: ["python3"],
  file: "../../examples/audit/python.py",
  missing: pythonMissing,
});

/** The examples for users to copy. */
export const EXAMPLES: readonly Handler[] = [
  program({
    ...example,
    name: "examples/audit/express.ts",
    made: "@crowdhook/express",
    command: [process.execPath, "--import", "tsx"],
    file: "../../examples/audit/express.ts",
  }),
  examplePython,
];

function manifest(path: string) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
}
const { devDependencies } = manifest("../package.json");
const named = (peer: string) => `${peer} ${devDependencies[peer]}`;
const on = `on ${named("express")}`;

const LIBRARIES = {
  standardwebhooks: named("standardwebhooks"),
  svix: named("svix"),
  octokit: named("@octokit/webhooks"),
};

/** Handlers without crowdhook, by the provider's name. */
const OTHERS: Readonly<Record<string, readonly Handler[]>> = {
  toloka: [
    ...byHand(toloka, naiveToloka, carefulToloka),
    documented(toloka),
    onExpress(
      "standardwebhooks, adapted",
      `${LIBRARIES.standardwebhooks} ${on}, made for its own scheme: the library computes the HMAC, checks the time and parses JSON; header and comparison adapted`,
      toloka,
      standardWebhooksToloka,
    ),
    octokitAdapted(toloka, octokitToloka),
    examplePython,
  ],
  prolific: [
    ...byHand(prolific, naiveProlific, carefulProlific),
    documented(prolific),
    octokitAdapted(prolific, octokitProlific),
  ],
  "standard-webhooks": [
    onExpress(
      "standardwebhooks",
      `the example of its README with ${LIBRARIES.standardwebhooks}, put into the handler that Svix documents for Express, ${on}`,
      standardWebhooks,
      standardWebhooksExample,
    ),
    onExpress(
      "svix",
      `the example for Express of its documentation with ${LIBRARIES.svix} ${on}`,
      standardWebhooks,
      svixExample,
    ),
  ],
  cvat: [
    documented(cvat),
    onExpress(
      "@octokit/webhooks",
      `GitHub's documented example with ${LIBRARIES.octokit} ${on}: the header's name and the reading of the body adapted; the digest serves as the id`,
      cvat,
      octokitCvat,
    ),
  ],
};

function byHand(sender: Sender, naive: App, careful: App): readonly Handler[] {
  return [
    onExpress(
      "parsed, then signed",
      `by hand ${on}, as in many tutorials: express.json(), JSON.stringify(req.body), ===`,
      sender,
      naive,
    ),
    onExpress(
      "by hand, with care",
      `by hand ${on}: express.raw() with room for 5 MiB, timingSafeEqual, JSON.parse after that`,
      sender,
      careful,
    ),
    onExpress("by hand, with a Set", "the same, with a Set of handled ids", sender, (secret, handle) =>
      careful(secret, remembering(handle)),
    ),
  ];
}

function octokitAdapted(sender: Sender, app: App): Handler {
  return onExpress(
    "@octokit/webhooks, adapted",
    `${LIBRARIES.octokit} ${on}, made for GitHub's scheme: its verify gets the text that the provider signs; all else adapted`,
    sender,
    app,
  );
}

function ours(sender: Sender): readonly Handler[] {
  return APPS.map(({ name: adapter, create }) => ({
    name: `crowdhook, ${adapter}`,
    sender,
    made: `@crowdhook/${adapter} ${manifest(`../../packages/${adapter}/package.json`).version}, claims in memory`,
    start: (secret: string) =>
      reported(sender, async (handle) => {
        const app = create();
        const webhook = await app.mount(sender.provider, { secret });
        webhook.onAny(({ id }: ReceivedEvent) => handle(id));
        return app.listen();
      }),
  }));
}

/** The handlers that use crowdhook: each adapter with each provider. */
export const OURS: readonly Handler[] = SENDERS.flatMap(ours);

export const HANDLERS: readonly Handler[] = SENDERS.flatMap((sender) => [
  ...(OTHERS[sender.provider.name] ?? []),
  ...OURS.filter((handler) => handler.sender === sender),
]);

export function handlerNamed(provider: string, name: string): Handler {
  const found = HANDLERS.find((each) => each.sender.provider.name === provider && each.name === name);
  if (!found) throw new Error(`There is no handler ${name} for ${provider}.`);
  return found;
}

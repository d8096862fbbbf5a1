import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { toPythonJson } from "@crowdhook/core/inspect";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { browserMissing, picture, useBrowser } from "./browser.js";
import { inspectedApp, PROLIFIC_SECRET, TOLOKA_SECRET } from "./inspected.js";

const missing = browserMissing();
if (missing) console.warn(missing);

const open = useBrowser();

const event = { ...tolokaEvent("POOL_CLOSED"), uuid: "7c0e4f5e-2b5a-4a0e-9f63-0f1f6a3b9d11" };
const BODY = JSON.stringify({ events: [event] });
const secret = TOLOKA_SECRET;
/** The clock of the app, which stands still: the page shows differences in whole seconds. */
const NOW = Date.now();
const signed = (options: object = {}) => signToloka({ secret, body: BODY, timestamp: NOW, ...options });

/** The mistake, the delivery that it makes, and the cause that the page names. */
const MISTAKES = [
  ["secret-with-space", () => signed({ secret: `${secret} ` }), "the secret and a space after it"],
  ["secret-in-quotes", () => signed({ secret: `"${secret}"` }), "the secret in double quotes"],
  ["secret-of-other", () => signed({ secret: PROLIFIC_SECRET }), "another provider's secret"],
  [
    "body-written-again",
    () => ({ ...signed({ body: toPythonJson(JSON.parse(BODY)) }), body: BODY }),
    "parsed and serialized again",
  ],
  [
    "line-break-added",
    () => ({ ...signed(), body: `${BODY}\n` }),
    "A line break was added to the end of the body",
  ],
  ["body-in-base64", () => ({ ...signed(), body: Buffer.from(BODY).toString("base64") }), "still in base64"],
  ["clock-off", () => signed({ timestamp: NOW - 600_000 }), "600 seconds ago by this clock"],
  [
    "other-provider",
    () => signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") }),
    "it comes from another provider",
  ],
] as const;

/** `DOCS_PICTURES=1` draws the pictures of `docs/guides/inspector.md` anew. */
const DOCS = fileURLToPath(new URL("../docs/pictures/", import.meta.url));

describe.skipIf(missing)("a deliberate mistake is named on the screen", () => {
  test.for(MISTAKES)("%s", async ([name, delivery, cause]) => {
    const app = await inspectedApp({}, () => NOW);
    expect((await app.deliver(delivery())).status).toBe(401);
    const page = await open(app);
    await page.waitForSelector(".row.refused");
    await page.setViewportSize({ width: 760, height: 460 });
    await page.click(".row");
    await page.waitForSelector(`.cause:has-text("${cause}")`);
    if (/body-|line-/.test(name)) await page.waitForSelector(".sides .differs");
    await picture(page, `mistake-${name}`);
    if (process.env.DOCS_PICTURES) {
      await mkdir(DOCS, { recursive: true });
      await page.screenshot({ path: `${DOCS}${name}.png` });
    }
  });
});

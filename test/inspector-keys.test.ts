import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserMissing, useBrowser } from "./browser.js";
import { inspectedApp, TOLOKA_SECRET } from "./inspected.js";

const missing = browserMissing();
if (missing) console.warn(missing);
const open = useBrowser();

/** Starts an app with this many deliveries of one event each. */
async function appWith(deliveries: number) {
  const app = await inspectedApp();
  const handled: string[] = [];
  app.toloka.on("POOL_CLOSED", ({ id }) => void handled.push(id));
  for (let id = 1; id <= deliveries; id++) {
    const events = [tolokaEvent("POOL_CLOSED", { uuid: `event-${id}` })];
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events }));
  }
  return { app, handled };
}

/** Holds back the detail of a delivery. Returns a function that lets it go. */
async function holdBack(page: Page, id: number): Promise<() => void> {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(`**/api/deliveries/${id}`, async (route) => {
    await released;
    await route.continue();
  });
  return release;
}

const click = (page: Page, id: number) => page.click(`.row[data-id="${id}"]`);
const isOpen = (page: Page, id: number) => page.waitForSelector(`article:has-text('#${id} ·')`);

describe.skipIf(missing)("the keys", () => {
  test("move, open, filter and explain themselves", async () => {
    const { app } = await appWith(3);
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("ASSIGNMENT_SUBMITTED")] }));
    const page = await open(app);
    await page.waitForSelector(".row >> nth=3");
    for (const key of ["j", "j", "j", "k", "Enter"]) await page.keyboard.press(key);
    await isOpen(page, 3);
    await page.keyboard.press("j");
    await isOpen(page, 2);
    await page.keyboard.press("/");
    await page.keyboard.type("submitted j");
    expect(await page.inputValue("[type=search]")).toBe("submitted j");
    await page.fill("[type=search]", "submitted");
    await expect.poll(() => page.locator(".row").count()).toBe(1);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    expect(await page.textContent("[role=dialog]")).toContain("compare: first one, then another");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Open a delivery");
  });

  test("act on a delivery that is still opening, as soon as it is open", async () => {
    const { app } = await appWith(2);
    const page = await open(app);
    await click(page, 1);
    await isOpen(page, 1);
    const release = await holdBack(page, 2);
    await click(page, 2);
    // The first one is not drawn any more, or still: the key must not act on it.
    await page.keyboard.press("r");
    release();
    await isOpen(page, 3);
    expect(await page.textContent("article")).toContain("sent again from #2");
    await page.keyboard.press("e");
    expect(await page.inputValue("textarea")).toContain("event-2");
  });

  test("do not act on a delivery that the reader left before it was open", async () => {
    const { app, handled } = await appWith(2);
    const page = await open(app);
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
    const release = await holdBack(page, 1);
    await click(page, 1);
    await page.keyboard.press("r");
    await click(page, 2);
    await isOpen(page, 2);
    release();
    await click(page, 1);
    await isOpen(page, 1);
    // The page carries out actions in the order of their keys.
    await page.keyboard.press("c");
    await page.waitForSelector("text=Compare: open another");
    expect(sent).toEqual([]);
    expect(handled).toEqual(["event-1", "event-2"]);
  });

  test("send a delivery once, however long the key is held down", async () => {
    const { app, handled } = await appWith(1);
    const page = await open(app);
    await click(page, 1);
    await isOpen(page, 1);
    // The second press without a release in between is a repetition.
    for (let press = 0; press < 3; press++) await page.keyboard.down("r");
    await page.keyboard.up("r");
    await isOpen(page, 2);
    await page.waitForSelector(".count:text-is('2')");
    expect(handled).toEqual(["event-1"]);
  });
});

import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { browserMissing, picture, useBrowser } from "./browser.js";
import { inspectedApp, json, TOLOKA_SECRET } from "./inspected.js";

const missing = browserMissing();
if (missing) console.warn(missing);

const open = useBrowser();

const DELIVERIES = 10_000;
const AT_ONCE = 50;
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

describe.skipIf(missing)("10,000 deliveries at full speed", () => {
  test("over real sockets all reach the open page, which draws few of them and takes little memory", async () => {
    const app = await inspectedApp();
    app.toloka.onAny(() => {});
    const page = await open(app);
    await page.waitForSelector("text=No deliveries yet");
    const before = process.memoryUsage().heapUsed;
    const started = performance.now();
    for (let first = 0; first < DELIVERIES; first += AT_ONCE) {
      const numbers = Array.from({ length: AT_ONCE }, (_, i) => first + i);
      const statuses = await Promise.all(
        numbers.map(async (number) => {
          const events = [tolokaEvent("POOL_CLOSED", { uuid: `event-${number}` })];
          const { headers, body } = signToloka({ secret: TOLOKA_SECRET, events });
          const response = await fetch(`${app.origin}/toloka-webhook`, { method: "POST", headers, body });
          await response.text();
          return response.status;
        }),
      );
      expect(new Set(statuses)).toEqual(new Set([200]));
    }
    const delivered = performance.now() - started;
    await page.waitForSelector(`.count:text-is("${DELIVERIES}")`);
    await page.waitForSelector(`.row[data-id="${DELIVERIES}"]`);
    const shown = performance.now() - started - delivered;
    const heap = await page.evaluate<number>("performance.memory.usedJSHeapSize");
    const grown = process.memoryUsage().heapUsed - before;
    console.log(
      `10,000 deliveries: handled in ${(delivered / 1000).toFixed(1)} s, the last one shown ${(shown / 1000).toFixed(1)} s later; page ${megabytes(heap)}, server +${megabytes(grown)}.`,
    );
    expect(await page.locator(".row").count()).toBeLessThan(60);
    expect(heap).toBeLessThan(150e6);
    await page.keyboard.press("j");
    await page.evaluate("document.querySelector('.rows').scrollTo(0, 1e9)");
    await page.waitForSelector('.row[data-id="1"]');
    await page.fill("[type=search]", "no such row");
    await page.waitForSelector(`text=None of ${DELIVERIES} deliveries`);
    await picture(page, "ten-thousand");
  }, 600_000);
});

describe.skipIf(missing)("a delivery that wants to break the page", () => {
  const SCRIPT = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>';
  const CONTROLS = "\u001b[2J\u202egnp.exe\u0000\u200b";

  test("is shown as text in every field, with controls written out", async () => {
    const app = await inspectedApp();
    app.toloka.onAny(() => {
      throw new Error(SCRIPT + CONTROLS);
    });
    const evil = SCRIPT + CONTROLS;
    const event = { ...tolokaEvent("POOL_CLOSED"), uuid: evil, pool_id: evil, [evil]: evil, type: evil };
    const delivery = signToloka({ secret: TOLOKA_SECRET, events: [event, tolokaEvent("POOL_CLOSED")] });
    const headers = { ...delivery.headers, "x-evil": SCRIPT };
    await app.deliver({ headers, body: delivery.body }, `/toloka-webhook?${encodeURIComponent(evil)}`);
    await app.deliver({ headers: { ...headers, "toloka-signature": SCRIPT }, body: evil });
    const page = await open(app);
    for (const id of [1, 2]) {
      await page.click(`.row[data-id="${id}"]`);
      await page.waitForSelector(`article:has-text('#${id}')`);
      await page.waitForSelector("[role=tab]");
      for (const tab of await page.locator("[role=tab]").all()) await tab.click();
      for (const form of ["curl", "Test", "Replay file"])
        await page.click(`.actions button:text-is("${form}")`);
      const text = (await page.textContent("body")) ?? "";
      expect(text).toContain("<script>window.broken=1</script>");
      expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    }
    await page.click('.row[data-id="1"]');
    await page.click("text=Timeline of >> nth=0");
    await page.waitForSelector(".timeline");
    expect(await page.textContent("article")).toContain("\\u{202e}gnp.exe");
    await picture(page, "hostile-light");
    expect(await page.evaluate("'broken' in window")).toBe(false);
    expect(await page.locator("main img, main script").count()).toBe(0);
  });

  test("has 10,000 events, which come in pages of 100", async () => {
    const app = await inspectedApp();
    const events = Array.from({ length: 10_000 }, (_, i) =>
      tolokaEvent("POOL_CLOSED", { uuid: `event-${i}` }),
    );
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events }));
    const page = await open(app);
    await page.click(".row");
    await page.waitForSelector("text=1–100 of 10000");
    expect(await page.locator(".events li").count()).toBe(100);
    await page.click("text=Later");
    await page.waitForSelector("text=101–200 of 10000");
    expect((await json(app.call("GET", "deliveries/1/events?from=9950"))).events).toHaveLength(50);
  });

  test("has 5 MB, of which the page shows the beginning until it is asked for all", async () => {
    const app = await inspectedApp();
    const text = "0123456789abcdef".repeat(300_000);
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, body: JSON.stringify({ events: [], text }) }));
    const page = await open(app);
    await page.click(".row");
    await page.waitForSelector("text=Show all 4800000 characters");
    await page.click('[role=tab]:text-is("Bytes")');
    await page.click("text=Show all 4.8 MB");
    await page.evaluate("document.querySelector('.hex').scrollTo(0, 1e9)");
    await page.waitForSelector(".offset:has-text('493e00')");
    expect(await page.locator(".hex-row").count()).toBeLessThan(60);
  });
});

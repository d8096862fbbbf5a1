import { toPythonJson } from "@crowdhook/core/inspect";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserMissing, picture, useBrowser } from "./browser.js";
import { inspectedApp, inspectorWithoutApp, PROLIFIC_SECRET, TOLOKA_SECRET } from "./inspected.js";

const missing = browserMissing();
if (missing) console.warn(missing);

const open = useBrowser();

const signed = (type: "POOL_CLOSED" | "ASSIGNMENT_SUBMITTED", fields: object = {}) =>
  signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent(type, { ...fields })] });

const openRow = (page: Page, id: number) => page.click(`.row[data-id="${id}"]`);

describe.skipIf(missing)("the page", () => {
  test("shows deliveries as they arrive, newest first: time, provider, types, verdict, reason, status, duration", async () => {
    const app = await inspectedApp();
    app.toloka.on("POOL_CLOSED", () => {});
    const page = await open(app);
    await page.waitForSelector("text=No deliveries yet");
    await app.deliver(signed("POOL_CLOSED"));
    await app.deliver(
      signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") }),
      "/prolific",
    );
    await app.deliver(
      signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") }),
      "/prolific-webhook",
    );
    await app.deliver(signToloka({ secret: `${TOLOKA_SECRET}\n`, events: [tolokaEvent("POOL_CLOSED")] }));
    await page.waitForSelector(".row.refused .reason:has-text('line break')");
    const rows = await page.locator(".row").allTextContents();
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatch(
      /Refused: SIGNATURE_MISMATCH401 · [\d.]+ ms\d\d:\d\d:\d\dTolokaPOOL_CLOSED.*a line break after it/,
    );
    expect(rows[1]).toMatch(/Genuine: 1 ignored200 · .*Prolificstudy\.status\.change/);
    expect(rows[2]).toMatch(/Genuine: 1 handled200 · .*TolokaPOOL_CLOSED/);
    await picture(page, "list-light");
  });

  test("opens a refused delivery: its cause, and the bytes that differ from those that would fit, marked", async () => {
    const app = await inspectedApp();
    const body = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED", { close_reason: "é" })] });
    const sent = signToloka({ secret: TOLOKA_SECRET, body: toPythonJson(JSON.parse(body)) });
    await app.deliver({ headers: sent.headers, body });
    const page = await open(app);
    await openRow(page, 1);
    await page.waitForSelector(".sides");
    expect(await page.textContent(".cause")).toContain(
      "The body was parsed and serialized again after signing.",
    );
    const [received, fitting] = await page.locator(".sides figure").all();
    expect(await received?.locator(".codes .gap").count()).toBeGreaterThan(5);
    const marked = (await fitting?.locator(".chars .differs").allTextContents()) ?? [];
    expect(new Set(marked)).toEqual(new Set([" "]));
    await picture(page, "mismatch-light");
  });

  test("opens a failed delivery: which secret fits, each event with its outcome and stack, the reply, the headers", async () => {
    const app = await inspectedApp();
    app.toloka.on("POOL_CLOSED", () => {
      throw new RangeError("no such pool");
    });
    app.toloka.on("ASSIGNMENT_SUBMITTED", () => {});
    const events = [
      tolokaEvent("POOL_CLOSED"),
      tolokaEvent("ASSIGNMENT_SUBMITTED"),
      tolokaEvent("ASSIGNMENT_CREATED"),
    ];
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events }));
    const page = await open(app, { scheme: "dark" });
    await openRow(page, 1);
    await page.waitForSelector("pre.error");
    const text = (await page.textContent("article")) ?? "";
    expect(text).toMatch(/Signed with secret 2 of 2, [\d.]+ s before it arrived/);
    expect(await page.locator(".events .tag").allTextContents()).toEqual(["failed", "handled", "ignored"]);
    expect(await page.textContent("pre.error")).toMatch(
      /RangeError: no such pool\s+at .*inspector-page\.test\.ts/,
    );
    expect(text).toContain('"code":"EVENT_FAILED"');
    expect(text).toContain("toloka-signature");
    await picture(page, "failed-dark");
    for (const [tab, content] of [
      ["Tree", "close_reason"],
      ["Text", '"close_reason":"MANUAL"'],
      ["Bytes", "7b2265"],
    ]) {
      await page.click(`[role=tab]:has-text("${tab}")`);
      await expect.poll(() => page.textContent("section:has([role=tablist])")).toContain(content);
    }
  });

  test("sends again, edits and signs, and sends as a new event: the page needs no secret for it", async () => {
    const app = await inspectedApp();
    const handled: string[] = [];
    app.toloka.on("POOL_CLOSED", ({ id, data }) => void handled.push(`${id} ${data.close_reason}`));
    await app.deliver(signed("POOL_CLOSED", { uuid: "first" }));
    const page = await open(app);
    await openRow(page, 1);
    await page.keyboard.press("r");
    await page.waitForSelector("h1:has-text('1 duplicate')");
    await page.keyboard.press("e");
    const text = await page.inputValue("textarea");
    await page.fill("textarea", text.replace('"first"', '"second"').replace("MANUAL", "EDITED"));
    await picture(page, "edit-light");
    await page.click("text=Sign and send >> nth=-1");
    await page.waitForSelector("article:has-text('#3 ·')");
    await page.click("text=Send as new events");
    await page.waitForSelector(".row[data-id='4'].genuine");
    expect(handled).toEqual([
      "first MANUAL",
      "second EDITED",
      expect.stringMatching(/^[\da-f-]{36} EDITED$/),
    ]);
    expect(await page.textContent(".row[data-id='4']")).toContain("sent again: 3");
  });

  test("keeps the text that the reader edits when the cause of the refusal comes late", async () => {
    const { store, captured, url } = await inspectorWithoutApp();
    store.add(captured({ verdict: "refused", code: "SIGNATURE_MISMATCH" }));
    const page = await open({ url });
    await openRow(page, 1);
    await page.click("text=Edit");
    await page.fill("textarea", "edited");
    store.update(1, { reason: "The cause." });
    await page.waitForSelector(".row .reason:has-text('The cause.')");
    await page.waitForSelector(".cause:has-text('The cause.')");
    expect(await page.inputValue("textarea")).toBe("edited");
  });

  test("compares two deliveries: structure, then bytes", async () => {
    const app = await inspectedApp();
    await app.deliver(signed("POOL_CLOSED", { uuid: "1", close_reason: "MANUAL" }));
    await app.deliver(signed("POOL_CLOSED", { uuid: "1", close_reason: "EXPIRED", extra: 1 }));
    const page = await open(app);
    await openRow(page, 1);
    await page.waitForSelector(".actions");
    await page.keyboard.press("c");
    await openRow(page, 2);
    await page.waitForSelector("text=Compare with #1");
    await page.keyboard.press("c");
    await page.waitForSelector(".changes");
    const fields = await page.locator(".changes tbody tr").allTextContents();
    expect(fields).toContain('$.events[0].close_reason"MANUAL""EXPIRED"');
    expect(fields).toContain("$.events[0].extra–1");
    expect(await page.locator(".sides .differs").count()).toBeGreaterThan(10);
    await picture(page, "compare-light");
  });

  test.for([
    ["curl", "curl -X POST 'http://127.0.0.1:"],
    ["Test", 'import { signToloka } from "@crowdhook/core/testing";'],
    ["Replay file", '"version": 1'],
  ] as const)("exports a delivery as %s", async ([form, content]) => {
    const app = await inspectedApp();
    await app.deliver(signed("POOL_CLOSED"));
    const page = await open(app);
    await openRow(page, 1);
    await page.click(`.actions button:text-is("${form}")`);
    await page.waitForSelector(".exported");
    expect(await page.textContent(".exported pre")).toContain(content);
    expect(await page.textContent(".exported pre")).toContain("/toloka-webhook");
  });

  test("shows the timeline of a subject: gaps, duplicates and stale events", async () => {
    const app = await inspectedApp();
    app.toloka.onAny(() => {});
    const event = (uuid: string, event_time: string) =>
      signed("ASSIGNMENT_SUBMITTED", { uuid, event_time, assignment_id: "a-1" });
    await app.deliver(event("1", "2026-01-01T10:00:00"));
    await app.deliver(event("3", "2026-01-01T15:00:00"));
    await app.deliver(event("3", "2026-01-01T15:00:00"));
    await app.deliver(event("2", "2026-01-01T10:00:05"));
    const page = await open(app);
    await openRow(page, 1);
    await page.click("text=Timeline of assignment_id:a-1");
    await page.waitForSelector(".timeline");
    const lines = await page.locator(".timeline li").allTextContents();
    expect(lines.map((line) => line.replace(/ASSIGNMENT_SUBMITTED|1 Jan.*/g, ""))).toEqual([
      "handled#1",
      "+5 s",
      "stale: came after a later onehandled#4",
      "gap of 4 hours",
      "handled#2",
      "+0 s",
      "duplicate#3",
    ]);
    await picture(page, "timeline-light");
  });

  test("sends an event of any type from a form that is filled with a sample", async () => {
    const app = await inspectedApp();
    const page = await open(app, { size: "narrow", scheme: "dark" });
    await page.click("text=Send");
    await page.selectOption("[aria-label='Provider']", { label: "Prolific" });
    await page.selectOption("[aria-label='Event type']", "study.status.change");
    await expect.poll(() => page.inputValue("textarea")).toContain('"status": "ACTIVE"');
    await picture(page, "send-narrow-dark");
    await page.fill("textarea", (await page.inputValue("textarea")).replace("ACTIVE", "PAUSED"));
    await page.click("text=Sign and send");
    await page.waitForSelector("h1.genuine");
    expect(await page.textContent("article")).toContain("PAUSED");
  });
});

describe.skipIf(missing)("at 400 pixels", () => {
  test("nothing is wider than the page", async () => {
    const app = await inspectedApp();
    const body = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED")] });
    const sent = signToloka({ secret: TOLOKA_SECRET, body: toPythonJson(JSON.parse(body)) });
    await app.deliver({ headers: sent.headers, body });
    const page = await open(app, { size: "narrow" });
    await page.waitForSelector(".row");
    const overflow = () => page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
    expect(await overflow()).toBeLessThanOrEqual(0);
    await picture(page, "list-narrow");
    await openRow(page, 1);
    await page.waitForSelector(".sides");
    expect(await overflow()).toBeLessThanOrEqual(0);
    expect(
      await page.evaluate<number>("document.querySelector('.view-pane').scrollWidth - innerWidth"),
    ).toBeLessThanOrEqual(0);
    await picture(page, "mismatch-narrow");
    await page.click("text=All deliveries");
    await page.waitForSelector(".row");
  });
});

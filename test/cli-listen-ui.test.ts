import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { PROLIFIC_SECRET, post, TOLOKA_SECRET, useCli } from "./cli-fixture.js";
import { request } from "./request.js";

const { listening, run, serve } = useCli();

/** Starts `listen --ui`, and returns how to call the page's API. */
async function listeningUi(args: readonly string[] = [], env?: Record<string, string>) {
  const { process, url } = await listening(["--ui", ...args], env && { env });
  const [, page = "", token = ""] = await process.printed(
    /The page: (http:\/\/127\.0\.0\.1:\d+)\/#token=([\w-]+)/,
  );
  const call = async (path: string, method = "GET", body?: object) => {
    const headers = { "x-crowdhook-token": token, "content-type": "application/json" };
    const sent = body === undefined ? "" : JSON.stringify(body);
    return request(page, { method, path: `/api/${path}`, headers, body: sent });
  };
  const json = async (path: string) => JSON.parse((await call(path)).text);
  return { process, url, page, token, call, json };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "crowdhook-ui-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const pool = (secret = TOLOKA_SECRET) =>
  signToloka({ secret, events: [tolokaEvent("POOL_CLOSED", { uuid: "1" })] });

test("listen --ui shows genuine and refused deliveries, with the cause", async () => {
  const { url, json } = await listeningUi();
  await post(`${url}/hooks?a=1`, pool());
  await post(url, pool());
  await post(url, pool(`${TOLOKA_SECRET}\n`));
  await vi.waitFor(async () => expect((await json("deliveries/3")).row.id).toBe(3));
  expect(await json("deliveries/1")).toMatchObject({
    row: { words: "Genuine: 1 handled", types: ["POOL_CLOSED"], status: 200 },
    path: "/hooks?a=1",
    signature: { secret: 1, secrets: 1 },
    can: { replay: true, sign: true, sendAsNew: true },
  });
  expect(await json("deliveries/2")).toMatchObject({ row: { words: "Genuine: 1 duplicate" } });
  expect(await json("deliveries/3")).toMatchObject({
    row: { words: "Refused: SIGNATURE_MISMATCH", status: 401 },
    signature: { reason: expect.stringContaining("a line break after it"), mismatch: { about: "secret" } },
  });
});

test("listen --ui --forward shows what the app answered, or why there is no answer", async () => {
  const app = await serve((_request, response) =>
    response.writeHead(418, { "x-app": "tea" }).end("short and stout"),
  );
  const { url, json } = await listeningUi(["--forward", app]);
  await post(url, pool());
  await vi.waitFor(async () => expect((await json("deliveries/1")).row.id).toBe(1));
  expect(await json("deliveries/1")).toMatchObject({
    row: { status: 418 },
    forwarded: { url: expect.stringContaining(app), answer: { status: 418, body: "short and stout" } },
  });
});

test("listen --ui --save shows after a restart what came before, and skips files that are no deliveries", async () => {
  const saved = folder();
  const first = await listeningUi(["--save", saved]);
  await post(first.url, pool());
  await post(first.url, pool("another secret"));
  await post(
    first.url,
    signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") }),
  );
  await first.process.interrupt();
  writeFileSync(join(saved, "notes.json"), "{}");
  const { json } = await listeningUi(["--save", saved]);
  await vi.waitFor(async () => expect((await json("deliveries/3")).row.words).toBe("Genuine: 1 handled"));
  expect(await json("deliveries/1")).toMatchObject({ row: { types: ["POOL_CLOSED"] } });
  expect(await json("deliveries/2")).toMatchObject({ row: { words: "Refused: SIGNATURE_MISMATCH" } });
  expect(await json("deliveries/3")).toMatchObject({ row: { provider: "Prolific" } });
});

/** What the page shows of a delivery. */
async function shownOf(json: (path: string) => Promise<Record<string, unknown>>, id: number) {
  const { row, reply, forwarded, signature } = await json(`deliveries/${id}`);
  return { row, reply, forwarded, signature, events: (await json(`deliveries/${id}/events`)).events };
}

test.for([["without an app"], ["with --forward"]])(
  "listen --ui --save shows after a restart the same verdict, reply, events and outcomes %s",
  async ([how]) => {
    const saved = folder();
    const app = await serve((_request, response) => response.writeHead(418, { "x-app": "tea" }).end("short"));
    const args = ["--save", saved, ...(how === "with --forward" ? ["--forward", app] : [])];
    const before = await listeningUi(args);
    for (const secret of [TOLOKA_SECRET, TOLOKA_SECRET, `${TOLOKA_SECRET}\n`])
      await post(before.url, pool(secret));
    await vi.waitFor(async () => expect((await before.json("deliveries/3")).row.id).toBe(3));
    const expected = await Promise.all([1, 2, 3].map((id) => shownOf(before.json, id)));
    await before.process.interrupt();
    const after = await listeningUi(["--save", saved]);
    await vi.waitFor(async () => expect((await after.json("deliveries/3")).row.reason).toBeDefined());
    expect(await Promise.all([1, 2, 3].map((id) => shownOf(after.json, id)))).toEqual(expected);
    await after.process.interrupt();
    // What was answered stays what it was, although it would be refused with another secret.
    const env = { TOLOKA_SECRET: "a new secret" };
    const later = await listeningUi(["--save", saved], env);
    await vi.waitFor(async () => expect((await later.json("deliveries/3")).row.reason).toBeDefined());
    const { row } = await later.json("deliveries/1");
    expect([row.verdict, row.reason]).toEqual(["genuine", undefined]);
  },
);

test("listen --ui --save says that a reply is not known if the file does not hold it", async () => {
  const saved = folder();
  const { url, process } = await listeningUi(["--save", saved]);
  await post(url, pool());
  await process.interrupt();
  for (const name of readdirSync(saved)) {
    const { answered, ...delivery } = JSON.parse(readFileSync(join(saved, name), "utf8"));
    expect(answered).toMatchObject({ verdict: "genuine", answer: { status: 200 } });
    writeFileSync(join(saved, name), JSON.stringify(delivery));
  }
  const { json } = await listeningUi(["--save", saved]);
  await vi.waitFor(async () => expect((await json("deliveries/1")).row.words).toBe("Genuine"));
  const detail = await json("deliveries/1");
  expect([detail.row.status, detail.reply, detail.forwarded]).toEqual([undefined, undefined, undefined]);
});

test("a delivery that the page sends takes the way of all others: it is saved and reported", async () => {
  const saved = folder();
  const { process, url, call, json } = await listeningUi(["--save", saved]);
  await post(`${url}/hooks`, pool());
  await vi.waitFor(async () => expect((await json("deliveries/1")).row.id).toBe(1));
  expect(JSON.parse((await call("deliveries/1/replay", "POST", { sign: true })).text)).toEqual({ id: 2 });
  expect(JSON.parse((await call("deliveries/1/new", "POST", {})).text)).toEqual({ id: 3 });
  expect(await json("deliveries/2")).toMatchObject({ row: { words: "Genuine: 1 duplicate", replayOf: 1 } });
  expect(await json("deliveries/3")).toMatchObject({ row: { words: "Genuine: 1 handled" }, path: "/hooks" });
  const { stdout } = await process.interrupt();
  expect(stdout).toContain("3 received: genuine × 3");
  expect(stdout.match(/saved as/g)).toHaveLength(3);
});

test("a file that the page exports is one that replay takes", async () => {
  const { url, json } = await listeningUi();
  await post(`${url}/hooks`, pool());
  await vi.waitFor(async () => expect((await json("deliveries/1")).row.id).toBe(1));
  const { name, text } = await json("deliveries/1/export/file");
  const file = join(folder(), name);
  writeFileSync(file, text);
  const replayed = await run(["replay", file, "--to", url]);
  expect(replayed.stdout).toContain("1 duplicate");
});

test("listen --ui ends at a signal while a page is open", async () => {
  const { process, page, token } = await listeningUi();
  const stream = await fetch(`${page}/api/stream`, { headers: { "x-crowdhook-token": token } });
  expect(stream.headers.get("content-type")).toBe("text/event-stream");
  expect((await process.interrupt()).code).toBe(0);
  await expect(stream.text()).rejects.toThrow();
});

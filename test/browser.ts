import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.CHROMIUM ?? PATHS.find((path) => existsSync(path));

/** Returns why tests that need a browser cannot run, and the fix. Returns `undefined` if they can. */
export function browserMissing(): string | undefined {
  if (executablePath !== undefined) return undefined;
  return "SKIPPED: no Chromium found. Run `apt-get install chromium`, or set CHROMIUM to its path.";
}

const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 400, height: 800 } };

export interface OpenOptions {
  readonly size?: keyof typeof SIZES;
  readonly scheme?: "light" | "dark";
}

/** An inspector in an app or in the command. */
interface Inspected {
  /** With the token. */
  readonly url: string;
}

/**
 * Starts a browser without a window for the tests of a file. Returns a function that opens the page of an
 * inspector. When a test ends, its page must have had no error, and must have called no other server.
 */
export function useBrowser() {
  let browser: Browser | undefined;
  beforeAll(async () => {
    // Without a sandbox, because the tests run as root in containers.
    if (executablePath) browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser?.close());

  return async function open({ url }: Inspected, options: OpenOptions = {}): Promise<Page> {
    const { size = "wide", scheme = "light" } = options;
    const context = await (browser as Browser).newContext({ viewport: SIZES[size], colorScheme: scheme });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) problems.push(request.url());
    });
    onTestFinished(async () => {
      await context.close();
      expect(problems).toEqual([]);
    });
    await page.goto(url);
    await page.waitForSelector(".app");
    return page;
  };
}

const REPORTS = fileURLToPath(new URL("../reports/inspector/", import.meta.url));

/** Keeps a picture of the page as an artefact of the run. */
export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(REPORTS, { recursive: true });
  await page.screenshot({ path: `${REPORTS}${name}.png` });
}

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.CHROMIUM ?? PATHS.find((path) => existsSync(path));

/** Returns why tests that need a browser cannot run, and the fix. Returns `undefined` if they can. */
export function browserMissing(): string | undefined {
  if (executablePath !== undefined) return undefined;
  return "SKIPPED: no Chromium found. Run `apt-get install chromium`, or set CHROMIUM to its path.";
}

/** Starts a browser without a window. */
export function startBrowser(): Promise<Browser> {
  // Without a sandbox, because the tests run as root in containers.
  return chromium.launch({ executablePath: executablePath ?? "", args: ["--no-sandbox"] });
}

const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 400, height: 800 } };

export interface OpenOptions {
  readonly size?: keyof typeof SIZES;
  readonly scheme?: "light" | "dark";
}

/** Opens a page of its own. `problems` collects errors of the page, such as what its policy has blocked. */
export async function openPage(browser: Browser, url: string, options: OpenOptions = {}) {
  const { size = "wide", scheme = "light" } = options;
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme: scheme });
  const page = await context.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, problems, requests, close: () => context.close() };
}

const REPORTS = fileURLToPath(new URL("../reports/inspector/", import.meta.url));

/** Keeps a picture of the page as an artefact of the run. */
export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(REPORTS, { recursive: true });
  await page.screenshot({ path: `${REPORTS}${name}.png` });
}

/** Runs crash.ts and draws what it prints as docs/pictures/crash.svg. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const FONT_SIZE = 14;
const LINE_HEIGHT = 20;
const MARGIN = 20;
/** Monospaced fonts are about so wide, in parts of their size. */
const CHARACTER = 0.61;
const ESCAPED = { "&": "&amp;", "<": "&lt;", ">": "&gt;" } as const;

function svgOf(lines: readonly string[]): string {
  const columns = Math.max(...lines.map(({ length }) => length));
  const width = Math.ceil(columns * FONT_SIZE * CHARACTER) + 2 * MARGIN;
  const height = lines.length * LINE_HEIGHT + 2 * MARGIN;
  const texts = lines.flatMap((line, i) => {
    if (line === "") return [];
    const escaped = line.replace(/[&<>]/g, (character) => ESCAPED[character as keyof typeof ESCAPED]);
    return `  <text x="${MARGIN}" y="${MARGIN + FONT_SIZE + i * LINE_HEIGHT}">${escaped}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title">
  <title id="title">The output of pnpm demo:crash</title>
  <style>
    rect { fill: #f6f8fa; stroke: #d1d9e0; }
    text { fill: #1f2328; font: ${FONT_SIZE}px ui-monospace, Menlo, Consolas, monospace; white-space: pre; }
    @media (prefers-color-scheme: dark) {
      rect { fill: #151b23; stroke: #3d444d; }
      text { fill: #f0f6fc; }
    }
  </style>
  <rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6" />
${texts.join("\n")}
</svg>
`;
}

const crash = spawn(process.execPath, ["--import", "tsx", "crash.ts"], {
  cwd: import.meta.dirname,
  stdio: ["ignore", "pipe", "inherit"],
});
const exit = new Promise((resolve) => crash.once("exit", resolve));
const printed = await text(crash.stdout);
if ((await exit) !== 0) throw new Error(`crash.ts failed:\n${printed}`);
const folder = new URL("../../docs/pictures/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("crash.svg", folder), svgOf(["$ pnpm demo:crash", "", ...printed.trim().split("\n")]));
console.log(`${printed}\nThe picture is ${fileURLToPath(new URL("crash.svg", folder))}.`);

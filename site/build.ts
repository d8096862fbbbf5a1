import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "vitepress";
import { writeApi } from "./api.js";
import { deadLinks } from "./dead-links.js";
import { DIST, PAGES } from "./files.js";
import { writeLlms } from "./llms.js";
import { writePages } from "./pages.js";

// Builds the site into site/dist. Usage: pnpm site

for (const folder of [PAGES, DIST]) rmSync(folder, { recursive: true, force: true });
writePages();
await writeApi();
await build(fileURLToPath(new URL(".", import.meta.url)));
writeLlms();
const dead = deadLinks();
if (dead.length > 0) throw new Error(`Dead links:\n${dead.join("\n")}`);
console.log("Built site/dist. Look at it with: pnpm --dir site preview");

import { defineConfig } from "vitepress";
import { slugOf } from "../anchors.js";
import { type Section, sections } from "../navigation.js";

const parts = sections();
const linkTo = (file: string) => `/${file.replace(/(^|\/)index\.md$/, "$1").replace(/\.md$/, "")}`;
const first = (title: string) => linkTo(parts.find((part) => part.title === title)?.pages[0]?.file ?? "");
const items = ({ pages }: Section) => pages.map(({ title, file }) => ({ text: title, link: linkTo(file) }));

const TOP = ["Start", "Guides", "Providers", "Operate", "Reference", "Audit", "Compare"];

export default defineConfig({
  title: "crowdhook",
  description: "Receives webhooks from crowdsourcing platforms: verified, typed, handled once.",
  lang: "en",
  // Else browsers ask for /favicon.ico.
  head: [["link", { rel: "icon", href: "data:," }]],
  srcDir: ".tmp-pages",
  outDir: "dist",
  cacheDir: ".tmp-cache",
  // The index of the search is large.
  vite: { build: { chunkSizeWarningLimit: 4_000 } },
  // One stable address per heading, the same as on GitHub.
  markdown: { anchor: { slugify: slugOf } },
  themeConfig: {
    nav: TOP.map((title) => ({ text: title, link: first(title), activeMatch: activeMatch(title) })),
    sidebar: parts.map((part) => ({
      text: part.title,
      collapsed: part.title === "Packages" || part.title === "API" || part.title === "Decisions",
      items: items(part),
    })),
    outline: { level: [2, 3] },
    search: {
      provider: "local",
      options: {
        detailedView: true,
        // Runs in the reader's browser, so it refers to nothing outside. A guide answers more than a type.
        miniSearch: {
          searchOptions: {
            boostDocument: (id: string) =>
              /^\/(guides|start|operate)\/|^\/reference\/errors/.test(id)
                ? 3
                : /^\/reference\/(api|packages)\//.test(id)
                  ? 0.3
                  : 1,
          },
        },
      },
    },
    docFooter: { prev: false, next: false },
  },
});

function activeMatch(title: string): string {
  return title === "Compare" ? "^/compare" : `^/${title.toLowerCase()}/`;
}

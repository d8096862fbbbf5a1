import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Bundles the page into the code of a module that exports its script and its style as texts. */
export async function bundlePage(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file("page/main.tsx"), file("page/style.css")],
    outdir: "page",
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
  });
  const text = (end: string) => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? "";
  return `export const SCRIPT = ${JSON.stringify(text(".js"))};
export const STYLE = ${JSON.stringify(text(".css"))};`;
}

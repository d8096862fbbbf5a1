import { existsSync, readdirSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Application, type DeclarationReflection } from "typedoc";
import { ModuleRouter, type PluginOptions } from "typedoc-plugin-markdown";
import { PAGES, ROOT } from "./files.js";

interface EntryPoint {
  /** What an app imports, such as `@crowdhook/core/toloka`. */
  readonly name: string;
  readonly file: string;
}

function entryPoints(): EntryPoint[] {
  const found: EntryPoint[] = [];
  for (const folder of readdirSync(`${ROOT}packages`)) {
    const { name, exports = {} } = JSON.parse(readFileSync(`${ROOT}packages/${folder}/package.json`, "utf8"));
    for (const path of Object.keys(exports)) {
      if (path.endsWith(".json") || path === "./internal") continue;
      const entry = path === "." ? "index" : path.slice(2);
      const files = [`${entry}.ts`, `${entry}/index.ts`, `providers/${entry}/index.ts`];
      const file = files.map((each) => `${ROOT}packages/${folder}/src/${each}`).find(existsSync);
      if (file === undefined) throw new Error(`${name} exports ${path}, but its source was not found.`);
      found.push({ name: path === "." ? name : `${name}/${entry}`, file });
    }
  }
  return found;
}

/** Keeps the address `core/sink`, which the plugin's router numbers because of the interface `Sink` of core. */
class EntryPointRouter extends ModuleRouter {
  protected override getFileName(name: string): string {
    return `${name}${this.extension}`;
  }
}

const markdown: Partial<PluginOptions> = {
  entryFileName: "index",
  hidePageHeader: true,
  hideBreadcrumbs: true,
  useCodeBlocks: true,
  parametersFormat: "table",
  typeAliasPropertiesFormat: "table",
  interfacePropertiesFormat: "table",
  classPropertiesFormat: "table",
  enumMembersFormat: "table",
  propertyMembersFormat: "table",
};

/**
 * Writes a page for each entry point, from the docstrings.
 *
 * @throws Error for an export without a docstring, and for each warning of TypeDoc.
 */
export async function writeApi(): Promise<void> {
  const entries = entryPoints();
  // TypeDoc names a module by its path below the folder that all of them share.
  const names = new Map(
    entries.map(({ name, file }) => [relative(`${ROOT}packages`, file).replace(/(\/index)?\.ts$/, ""), name]),
  );
  const app = await Application.bootstrapWithPlugins({
    entryPoints: entries.map(({ file }) => file),
    tsconfig: fileURLToPath(new URL("tsconfig.api.json", import.meta.url)),
    plugin: ["typedoc-plugin-markdown"],
    name: "API",
    readme: "none",
    router: "entry-points",
    disableSources: true,
    excludeInternal: true,
    excludeExternals: true,
    excludePrivate: true,
    logLevel: "Warn",
    outputs: [{ name: "markdown", path: `${PAGES}/reference/api` }],
    ...markdown,
  });
  app.renderer.defineRouter("entry-points", EntryPointRouter);
  const project = await app.convert();
  if (project === undefined) throw new Error("TypeDoc could not read the packages.");
  const modules = project.children ?? [];
  for (const module of modules) module.name = names.get(module.name) ?? module.name;
  const undocumented = modules.flatMap((module) => (module.children ?? []).filter(lacksDocstring));
  for (const { name, parent } of undocumented)
    app.logger.error(`${parent?.name} exports ${name} without a docstring.`);
  app.validate(project);
  await app.generateOutputs(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) {
    throw new Error("The API pages have flaws. They are printed above.");
  }
}

function lacksDocstring(declaration: DeclarationReflection): boolean {
  if (declaration.isReference()) return false;
  const signatures = declaration.signatures ?? [];
  return !declaration.hasComment() && !signatures.some((signature) => signature.hasComment());
}

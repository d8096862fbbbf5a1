import type { Plugin } from "vitest/config";
import { bundlePage } from "../packages/inspector/page-bundle.js";

/** Bundles the page for tests that import the inspector's sources. A build puts it into `dist`. */
export const inspectorPage: Plugin = {
  name: "inspector-page",
  resolveId: (name) => (name === "virtual:page" ? name : undefined),
  load: (name) => (name === "virtual:page" ? bundlePage() : undefined),
};

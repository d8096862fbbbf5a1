import { defineConfig } from "tsup";
import { build } from "../../tsup.base.js";

export default defineConfig(
  // Bundled: ky is for ESM alone, and of zod little is used.
  build({ noExternal: ["ky", "zod"] }),
);

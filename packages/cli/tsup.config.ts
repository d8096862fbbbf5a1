import { defineConfig } from "tsup";
import { build } from "../../tsup.base.js";

// A command, not a library: nobody requires it or reads its types. Each command is a chunk that is
// loaded when it is called.
export default defineConfig(build({ format: ["esm"], platform: "node", dts: false }));

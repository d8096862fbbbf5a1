import type { Options } from "tsup";

/** What every package's build has in common: ESM, CJS and types for both, nothing minified. */
export function build(options: Options = {}): Options {
  return {
    entry: ["src/index.ts"],
    format: ["esm", "cjs"],
    target: "es2022",
    platform: "neutral",
    // tsup passes `baseUrl` to the declaration build, which TypeScript 6 deprecates.
    dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
    clean: true,
    // With the sources inside, so that a debugger shows them.
    sourcemap: true,
    treeshake: false,
    ...options,
  };
}

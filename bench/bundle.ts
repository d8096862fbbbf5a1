/** A module as an app's bundler leaves it. */
import { type BuildOptions, type BuildResult, build } from "esbuild";

export type Bundle = BuildResult<{ write: false; metafile: true }>;

export function bundle(contents: string, options: BuildOptions): Promise<Bundle> {
  return build({
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true,
    minify: true,
    format: "esm",
    legalComments: "none",
    logLevel: "error",
    // This repository's would lead into sources.
    tsconfigRaw: {},
    ...options,
    write: false,
    metafile: true,
  });
}

/** What edge runtimes take, WebCrypto included. */
export const EDGE: BuildOptions = { platform: "browser", conditions: ["workerd"] };

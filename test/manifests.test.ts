import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const packages = join(import.meta.dirname, "../packages");
const manifestOf = (name: string) => JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8"));

describe.each(readdirSync(packages))("the manifest of packages/%s", (name) => {
  const manifest = manifestOf(name);

  test("publishes the build, the changelog and the licence", () => {
    expect(manifest.files).toEqual(expect.arrayContaining(["dist", "CHANGELOG.md"]));
    expect(manifest).toMatchObject({ license: "MIT", publishConfig: { access: "public" } });
    expect(existsSync(join(packages, name, "LICENSE"))).toBe(true);
  });

  test("has the keywords of both platforms", () => {
    const common = ["webhook", "webhooks", "crowdsourcing", "toloka", "prolific"];
    expect(manifest.keywords).toEqual(expect.arrayContaining(common));
  });

  test("accepts no major version of a peer that is not tested", () => {
    for (const range of Object.values(manifest.peerDependencies ?? {})) expect(range).toMatch(/^\^|<\d/);
  });

  test("names no address, because the release adds them", () => {
    for (const field of ["repository", "homepage", "bugs"]) expect(manifest).not.toHaveProperty(field);
  });
});

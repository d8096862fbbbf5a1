/** Publishes the packages with provenance. Only the release workflow runs it, on a tag. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { addAddresses, missingAddresses, packagesIn } from "./manifests.js";

const root = join(import.meta.dirname, "../..");

const missing = missingAddresses();
if (missing.length > 0) {
  throw new Error(`No release without addresses. Fill in ${missing.join(", ")}.`);
}
const tag = process.env.GITHUB_REF_NAME;
const [first] = packagesIn(root);
if (tag !== `v${first?.manifest.version}`) {
  throw new Error(`The tag is ${tag}, but the packages are at ${first?.manifest.version}. Tag the version.`);
}
addAddresses(root);
for (const { folder } of packagesIn(root)) {
  execFileSync("npm", ["publish", "--provenance"], { cwd: folder, stdio: "inherit" });
}

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CONTRACT_FORMATS, contractOf } from "@crowdhook/core/contracts";
import { SENDERS } from "@crowdhook/core/testing";
import { expect, test } from "vitest";

// `npx vitest run test/contract-files.test.ts -u` writes the files.

const FOLDER = fileURLToPath(new URL("../packages/core/contracts/", import.meta.url));

const documents = SENDERS.flatMap(({ provider }) =>
  CONTRACT_FORMATS.map((format) => ({ file: `${provider.name}.${format}.json`, provider, format })),
);

test.each(documents)("$file in the package is up to date", async ({ file, provider, format }) => {
  const text = `${JSON.stringify(contractOf(provider, format), null, 2)}\n`;
  await expect(text).toMatchFileSnapshot(`${FOLDER}${file}`);
});

test("the package has the contracts of every provider, and no others", () => {
  expect(readdirSync(FOLDER).sort()).toEqual(documents.map(({ file }) => file).sort());
});

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createReceiver, type ReceivedEvent } from "@crowdhook/core";
import { SENDERS } from "@crowdhook/core/testing";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { TOLERANCE, type Vector, vectorFile } from "./published-vectors.js";

const FOLDER = fileURLToPath(new URL("../packages/audit/vectors/", import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(`${FOLDER}${name}.json`, "utf8"));
const validate = new Ajv2020({ strict: true, allErrors: true }).compile(read("schema"));

describe.each(SENDERS.map((sender) => ({ name: sender.provider.name, sender })))(
  "vectors of $name",
  ({ name, sender }) => {
    // `vitest run test/audit-vectors.test.ts -u` writes the files.
    test("are what the sender signs with a fixed clock", async () => {
      await expect(vectorFile(sender)).toMatchFileSnapshot(`${FOLDER}${name}.json`);
    });

    test("match the JSON Schema", () => {
      validate(read(name));
      expect(validate.errors).toBeNull();
    });

    test("accept and refuse, and have names of their own", () => {
      const vectors: readonly Vector[] = read(name).vectors;
      expect(new Set(vectors.map((vector) => vector.name)).size).toBe(vectors.length);
      expect(new Set(vectors.map(({ expected }) => expected.outcome))).toEqual(new Set(["accept", "refuse"]));
    });

    test.each(
      (JSON.parse(vectorFile(sender)).vectors as Vector[]).map((vector) => [vector.name, vector] as const),
    )("a receiver agrees: %s", async (_, { secret, method, headers, body, now, expected }) => {
      const events: ReceivedEvent[] = [];
      const receiver = createReceiver(sender.provider, {
        secret,
        tolerance: TOLERANCE,
        clock: () => now,
        logger: { debug() {}, info() {}, warn() {}, error() {} },
      });
      receiver.onAny((event) => void events.push(event));
      const bytes = "text" in body ? Buffer.from(body.text) : Buffer.from(body.base64, "base64");
      const reply = await receiver.handle({ method, headers, body: bytes });
      const { code } = JSON.parse(reply.body);
      const seen =
        reply.status === 200
          ? { outcome: "accept", events: events.map(({ id, type }) => ({ id, type: type.trim() })) }
          : { outcome: "refuse", code };
      expect(seen).toEqual(expected);
    });
  },
);

test("the JSON Schema refuses files with a missing, unknown or mistyped field", () => {
  const file = read("toloka");
  const [vector, ...others] = file.vectors;
  for (const change of [
    { now: "1" },
    { body: {} },
    { body: { text: "", base64: "" } },
    { extra: 1 },
    { expected: { outcome: "refuse" } },
  ])
    expect(
      validate({ ...file, vectors: [{ ...vector, ...change }, ...others] }),
      JSON.stringify(change),
    ).toBe(false);
  expect(validate({ ...file, provider: undefined })).toBe(false);
});

test("the folder has a file for each provider, and the schema", () => {
  const names = [...SENDERS.map(({ provider }) => provider.name), "schema"];
  expect(readdirSync(FOLDER).sort()).toEqual(names.map((name) => `${name}.json`).sort());
});

const python = spawnSync("python3", ["--version"]);

test.skipIf(python.status !== 0)("Python agrees about the signature and the time of every vector", () => {
  const checker = fileURLToPath(new URL("vectors/check.py", import.meta.url));
  const files = SENDERS.map(({ provider }) => `${FOLDER}${provider.name}.json`);
  const { stdout, stderr, status } = spawnSync("python3", [checker, ...files], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const checked = files.flatMap((file) => {
    const vectors: readonly Vector[] = JSON.parse(readFileSync(file, "utf8")).vectors;
    return vectors.filter(({ about }) => about === "signature" || about === "time");
  });
  expect(stdout).toBe(`${checked.length} vectors\n`);
});

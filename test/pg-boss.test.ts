import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { durableSinkChecks } from "@crowdhook/core/testing";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";

const QUICK: PgBossSinkOptions = { attempts: 3, backoff: 1 };

describe("pgBossSink on PGlite", () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "crowdhook-pglite-"));
  });
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  test.each(durableSinkChecks)("$name", async ({ check }) => {
    await check({ open: () => pgBossSink({ ...QUICK, dataDir }) });
  });
});

const missing = postgresMissing();
if (missing) console.warn(missing);

describe.skipIf(missing)(`pgBossSink on PostgreSQL ${missing ?? ""}`, () => {
  let server: PostgresServer;
  const schema = `crowdhook_${randomUUID().replaceAll("-", "")}`;
  beforeAll(async () => {
    server = await postgresServer();
  });
  afterAll(() => server?.close());

  test.each(durableSinkChecks)("$name", async ({ check }) => {
    await check({ open: () => pgBossSink({ ...QUICK, connection: server.url, schema }) });
  });
});

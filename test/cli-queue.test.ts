import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useCli } from "./cli-fixture.js";
import { type PostgresServer, postgresMissing, postgresServer, queryPostgres } from "./postgres-server.js";

const { path, run } = useCli();
const missing = postgresMissing("own");
if (missing) console.warn(missing);

describe.skipIf(missing)(`crowdhook queue migrate on PostgreSQL ${missing ?? ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await postgresServer("own");
  }, 60_000);
  afterAll(() => server?.close());

  const sql = (text: string) => queryPostgres(server.url, text);

  /** Creates a role without rights. Returns its name and the environment of a command that uses it. */
  async function newRole() {
    const role = `test_${randomUUID().replaceAll("-", "")}`;
    await sql(`CREATE ROLE ${role} LOGIN PASSWORD 'never-printed'`);
    const url = new URL(server.url);
    url.username = role;
    url.password = "never-printed";
    return { role, env: { DATABASE_URL: url.href } };
  }

  test("creates the tables, and does nothing when they are up to date", async () => {
    const { role, env } = await newRole();
    await sql(`CREATE SCHEMA ${role} AUTHORIZATION ${role}`);
    const args = ["queue", "migrate", "--schema", role];
    const done = { code: 0, stdout: `✓ The tables in the schema ${role} are up to date.\n`, stderr: "" };
    expect(await run(args, { env })).toEqual(done);
    const rows = await sql(
      `SELECT tableowner FROM pg_tables WHERE schemaname = '${role}' AND tablename = 'job'`,
    );
    expect(rows).toEqual([{ tableowner: role }]);
    expect(await run([...args, "--json"], { env })).toEqual({
      code: 0,
      stdout: expect.stringMatching(role),
      stderr: "",
    });
  }, 60_000);

  test("tells a role without CREATE what an administrator has to run", async () => {
    const { role, env } = await newRole();
    const ended = await run(["queue", "migrate", "--schema", role], { env });
    expect(ended).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(
        `Run CREATE SCHEMA ${role} AUTHORIZATION "${role}" as an administrator.`,
      ),
    });
    expect(ended.stderr).not.toContain("never-printed");
  }, 60_000);

  test("with --sql prints what makes a role without CREATE find its tables up to date", async () => {
    const { role, env } = await newRole();
    const args = ["queue", "migrate", "--schema", role];
    const { stdout } = await run([...args, "--sql"], { env: {} });
    await sql(stdout);
    await sql(
      `GRANT USAGE ON SCHEMA ${role} TO ${role};
       GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${role} TO ${role}`,
    );
    expect(await run(args, { env })).toMatchObject({ code: 0, stderr: "" });
  }, 60_000);
});

test("crowdhook queue migrate names the mistake without a database, and with a schema that cannot be", async () => {
  const env = { DATABASE_URL: "" };
  expect(await run(["queue", "migrate"], { env })).toMatchObject({
    code: 2,
    stderr: "error: DATABASE_URL is missing. Set it to the URL of PostgreSQL.\n",
  });
  expect(await run(["queue", "migrate", "--sql", "--schema", "user"], { env })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("schema cannot be user"),
  });
  const refused = await run(["queue", "migrate"], {
    env: { DATABASE_URL: "postgres://u:never-printed@127.0.0.1:1/db" },
  });
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("ECONNREFUSED") });
  expect(refused.stderr).not.toContain("never-printed");
}, 60_000);

test("crowdhook queue migrate says how to install @crowdhook/pg-boss when it is absent", async () => {
  const resolve = `export async function resolve(name, context, next) {
    if (name !== "@crowdhook/pg-boss") return next(name, context);
    throw Object.assign(new Error("absent"), { code: "ERR_MODULE_NOT_FOUND" });
  }`;
  const hook = `data:text/javascript,${encodeURIComponent(resolve)}`;
  writeFileSync(
    path("absent.mjs"),
    `import { register } from "node:module"; register(${JSON.stringify(hook)});`,
  );
  expect(
    await run(["queue", "migrate"], { env: { NODE_OPTIONS: `--import ${path("absent.mjs")}` } }),
  ).toMatchObject({
    code: 2,
    stderr: "error: The package @crowdhook/pg-boss is missing. Run npm install @crowdhook/pg-boss.\n",
  });
});

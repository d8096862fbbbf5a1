import { type AuditOptions, audit } from "@crowdhook/audit";
import { describe, expect, test } from "vitest";
import { type OnTestFinished, secrets, startPlainEndpoint, startServer } from "./audit-runs.js";
import { type Reply, SECRETS } from "./plain-endpoint.js";

describe("audit rejects with an AuditError if", () => {
  const only = ["signature-good"];
  const startWithReply = async (onTestFinished: OnTestFinished, { status, text, headers }: Reply) => {
    const url = await startServer(onTestFinished, (_, response) =>
      response.writeHead(status, headers).end(text),
    );
    return { url, provider: "toloka", secrets, only } as const;
  };

  test("nothing listens at the URL", async () => {
    await expect(
      audit({ url: "http://127.0.0.1:1/webhook", provider: "toloka", secrets }),
    ).rejects.toMatchObject({
      name: "AuditError",
      code: "UNREACHABLE",
      message:
        "Nothing listens at 127.0.0.1:1: the connection was refused. Is the app running, and is the port right?",
    });
  });

  test("the host does not exist", async () => {
    await expect(
      audit({ url: "http://crowdhook.invalid/webhook", provider: "toloka", secrets }),
    ).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringMatching(/^crowdhook\.invalid cannot be reached/),
    });
  });

  test("the endpoint answers too late or hangs up", async ({ onTestFinished }) => {
    const silent = await startServer(onTestFinished, () => {});
    await expect(audit({ url: silent, provider: "toloka", secrets, timeout: 0.1 })).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringContaining("none within 0.1 s"),
    });
    const hangingUp = await startServer(onTestFinished, ({ socket }) => socket.destroy());
    await expect(audit({ url: hangingUp, provider: "toloka", secrets })).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringContaining("the connection was closed"),
    });
  });

  test.for<[number, string]>([
    [401, "another secret"],
    [403, "another secret"],
    [404, "path"],
    [308, "redirects"],
    [500, "log"],
    [413, "webhooks of this provider"],
  ])("the endpoint answers the first good delivery with %i", async ([status, hint], { onTestFinished }) => {
    const text = `no ${SECRETS[0]}\n\u001b[31m${"x".repeat(1_000)}`;
    const options = await startWithReply(onTestFinished, {
      status,
      text,
      headers: { location: "/elsewhere" },
    });
    const error = await audit(options).catch((error) => error);
    expect(error).toMatchObject({ name: "AuditError", code: "NOT_ACCEPTED" });
    expect(error.message).toContain(`is not accepted: ${status}, no [not shown] \uFFFD[31mxxx`);
    expect(error.message).toContain(hint);
    expect(error.message.length).toBeLessThan(450);
  });

  test("the endpoint has another secret", async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "prolific");
    await expect(audit({ ...options, secrets: ["other"] })).rejects.toMatchObject({
      message:
        "A good delivery, signed with the secret, is not accepted: 401, no. Probably the endpoint has another secret, or does not compute the signature over the raw body.",
    });
  });

  test.for([
    { status: 404, text: "not here" },
    { status: 200, text: "<html>" },
    { status: 200, text: "null" },
    { status: 200, text: '{"handled":[1]}' },
    { status: 200, text: '{"handled":["another"]}' },
  ])("the report route answers $status, $text", async (reply, { onTestFinished }) => {
    const { url: report } = await startWithReply(onTestFinished, reply);
    const options = { ...(await startPlainEndpoint(onTestFinished, "toloka")), report, timeout: 1 };
    await expect(audit(options)).rejects.toMatchObject({
      code: "REPORT_UNUSABLE",
      message: expect.stringContaining("all ASSIGNMENT_SUBMITTED events that were handled"),
    });
  });

  test("nothing listens at the report route", async ({ onTestFinished }) => {
    const options = {
      ...(await startPlainEndpoint(onTestFinished, "toloka")),
      report: "http://127.0.0.1:1/",
    };
    await expect(audit(options)).rejects.toMatchObject({ code: "REPORT_UNUSABLE" });
  });
});

test.each<[string, Partial<Record<keyof AuditOptions, unknown>>]>([
  ["`url` must begin with http", { url: "127.0.0.1:3000" }],
  ["`url` must not contain a user name", { url: "http://me:pass@127.0.0.1/" }],
  ["`report` must begin with http", { report: "/handled" }],
  [
    '`provider` must be "toloka", "prolific", "standard-webhooks", "cvat" or a sender, not "constructor"',
    { provider: "constructor" },
  ],
  ['"cvat" or a sender, not [object Object]', { provider: {} as never }],
  ['"cvat" or a sender, not null', { provider: null as never }],
  ["`secrets` must be a list", { secrets: "s3cret" }],
  ["`secrets` must be a list", { secrets: [] }],
  ["`secrets` must be a list", { secrets: ["one", ""] }],
  ["`timeout` must be a number of seconds", { timeout: 0 }],
  ["`timeout` must be a number of seconds", { timeout: 5_000 }],
  ['there is no check "signature-god" for Toloka', { only: ["signature-god"] }],
  ['there is no check "signature-boundary" for Toloka', { only: ["signature-boundary"] }],
])("audit rejects wrong options: %s", async (message, options) => {
  const good: AuditOptions = { url: "http://127.0.0.1:1/", provider: "toloka", secrets };
  const error = await audit({ ...good, ...(options as object) }).catch((error) => error);
  expect(error).toBeInstanceOf(TypeError);
  expect(error.message).toContain(message);
  expect(error.message).not.toMatch(/s3cret|pass@/);
});

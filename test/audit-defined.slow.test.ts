import { audit } from "@crowdhook/audit";
import { webhook } from "@crowdhook/node";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { idsWith, LONG, notPassed, startServer } from "./audit-runs.js";
import { DEFINED, secretsOf } from "./defined-providers.js";

// Receivers log the deliveries that they refuse.
beforeAll(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

for (const sender of DEFINED) {
  const { name, defaultPath } = sender.provider;
  test(
    `a receiver of the defined provider ${name} passes every check of its scheme`,
    LONG,
    async ({ onTestFinished }) => {
      const secrets = secretsOf(sender);
      const receiver = webhook(sender.provider, secrets);
      const handled: string[] = [];
      receiver.onAny(({ id }) => void handled.push(id));
      const origin = await startServer(onTestFinished, (request, response) => {
        if (request.url === "/handled") response.end(JSON.stringify({ handled }));
        else void receiver(request, response);
      });
      const report = await audit({
        url: origin + defaultPath,
        provider: sender,
        secrets,
        report: `${origin}/handled`,
        timeout: 30,
      });
      expect(notPassed(report)).toEqual([]);
      expect(report).toMatchObject({ provider: name, verdict: "safe" });
      expect(idsWith("passed", report)).toEqual(expect.arrayContaining(["once-concurrent", "end-alive"]));
    },
  );
}

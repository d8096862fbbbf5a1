import { defineProject } from "vitest/config";

export default defineProject({
  test: {
    name: "test",
    include: ["*.test.ts"],
    // Many tests start processes and servers, which take many times longer on a busy machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ["**/*.test-d.ts"], tsconfig: "../tsconfig.json" },
  },
});

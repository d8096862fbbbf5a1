import { defineProject } from "vitest/config";

export default defineProject({
  test: {
    name: "test",
    include: ["*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ["**/*.test-d.ts"], tsconfig: "../tsconfig.json" },
  },
});

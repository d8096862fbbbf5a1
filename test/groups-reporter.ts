import type { Reporter, TestModule } from "vitest/node";
import { TEST_GROUPS } from "./groups.js";

/** Names the tests that a run left out, so that a green run is not taken for more than it is. */
export default class GroupsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap(({ children }) => [...children.allTests()]);
    const skipped = tests.filter((test) => test.result().state === "skipped");
    if (skipped.length > 0) {
      const reasons = new Set(skipped.map((test) => /SKIPPED: .*/.exec(test.fullName)?.[0] ?? test.fullName));
      console.log([`${skipped.length} tests were skipped:`, ...reasons].join("\n  "));
    }

    // Somebody who names files has seen what does not run.
    if (modules.length < (TEST_GROUPS.get("fast")?.files.length ?? 0)) return;
    const ran = new Set(modules.map(({ project }) => project.name));
    const others = [...TEST_GROUPS].filter(([group]) => !ran.has(group));
    if (others.length === 0) return;
    const named = others.map(([group, { files, reason }]) => `${group} (${files.length} files: ${reason})`);
    console.log(
      `Not run: ${named.join(", ")}, types, runtimes, hosts. All of them: npx -y pnpm@10.34.9 test:all`,
    );
  }
}

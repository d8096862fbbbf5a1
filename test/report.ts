import { join } from "node:path";

/** Returns the reporter that writes what `.ci/run` counts into the folder that REPORTS names. */
export function report(name: string): ["json", { outputFile: string }][] {
  const folder = process.env.REPORTS;
  return folder ? [["json", { outputFile: join(folder, `${name}.json`) }]] : [];
}

/** The reporter that writes what `.ci/run` counts, to the file that REPORT names. */
export const report: ["json", { outputFile: string }][] = process.env.REPORT
  ? [["json", { outputFile: process.env.REPORT }]]
  : [];

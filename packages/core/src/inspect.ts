export { type Effort, findMistakes, type Mistake } from "./signature/explain.js";
export {
  fitsSecret,
  type Inspection,
  type InspectOptions,
  inspect,
  type Mismatch,
} from "./signature/inspect.js";
export { toAscii, toPythonJson } from "./signature/json-spellings.js";
export type { Suspect } from "./signature/mistakes.js";
export { type Difference, differencesBetween } from "./text/differences.js";

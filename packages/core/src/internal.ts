/** Shared by crowdhook's own packages. Not public API: anything here may change in any release. */
export { kindOf } from "./errors.js";
export { describeValue, isObject } from "./values/describe.js";

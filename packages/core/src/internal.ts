/** Shared by crowdhook's own packages. Not public API: anything here may change in any release. */
export { kindOf } from "./errors.js";
export { checkNames } from "./options.js";
export { describeValue, isObject, typeName } from "./values/describe.js";
export { escapeControls, escapeControlsInJson } from "./values/escape-controls.js";
export { createHider } from "./values/hide-secrets.js";
export { suggestion } from "./values/nearest.js";

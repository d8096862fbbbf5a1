export { type AuditOptions, type AuditReport, audit, type CheckResult } from "./audit.js";
export type { Check, Level, ProviderName } from "./check.js";
export { CHECKS } from "./checks.js";
export { AuditError } from "./preflight.js";
export { toBadge, toJUnit, toTap } from "./render.js";

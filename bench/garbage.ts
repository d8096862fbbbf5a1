import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/**
 * Collects garbage: all, or what is young. Between sides only what is young: a full collection also
 * drops code that is optimised for objects of which none is left just then, and the next side pays.
 */
export const gc: (options?: { readonly type: "minor" }) => void = runInNewContext("gc");

import { differencesBetween } from "@crowdhook/core/inspect";
import type { Comparison, StructuralChange } from "../wire.js";
import { cut } from "./captured.js";

const CHANGES_MAX = 500;
const DIFFERENCES_MAX = 2_000;
/** In characters. */
const VALUE_MAX = 1_000;
/** Deeper values are compared as a whole. */
const DEPTH_MAX = 50;

/** Compares two bodies: first as JSON, then byte by byte. */
export function compareBodies(a: Uint8Array, b: Uint8Array): Comparison {
  const [left, right] = [parsed(a), parsed(b)];
  const changes: StructuralChange[] = [];
  if (left && right) compareValues("$", left.value, right.value, changes, 0);
  return {
    isJson: left !== undefined && right !== undefined,
    changes,
    differences: differencesBetween(a, b).slice(0, DIFFERENCES_MAX),
  };
}

function parsed(body: Uint8Array): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) };
  } catch {
    return undefined;
  }
}

function compareValues(
  path: string,
  a: unknown,
  b: unknown,
  changes: StructuralChange[],
  depth: number,
): void {
  if (changes.length >= CHANGES_MAX || Object.is(a, b)) return;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b) || depth > DEPTH_MAX) {
    const [left, right] = [shown(a), shown(b)];
    if (left !== right) changes.push({ path, a: left, b: right });
    return;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (changes.length >= CHANGES_MAX) return;
    const inner = Array.isArray(a) ? `${path}[${key}]` : `${path}.${cut(key)}`;
    compareValues(inner, own(a, key), own(b, key), changes, depth + 1);
  }
}

type Container = Readonly<Record<string, unknown>>;

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null;
}

function own(value: Container, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function shown(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  try {
    return cut(JSON.stringify(value), VALUE_MAX);
  } catch {
    // Nested too deeply for JSON.stringify.
    return "(nested too deeply to show)";
  }
}

import { describe, expect, test } from "vitest";
import { deepJson } from "../src/text/deep-json.js";

describe("deepJson", () => {
  test.each<[string, unknown]>([
    ["scalars", [1, -0.5, '\u0000 \ud800 " \\', true, null, Number.NaN, 1e300]],
    ["empty arrays and objects", [[], {}, [{}], { a: [] }]],
    ["keys of any characters", JSON.parse('{"__proto__":{"a":1},"\\"":2,"":[3],"2":4,"1":5}')],
    ["values that JSON leaves out", { a: undefined, b: [undefined, () => 1, Symbol("s")], c: () => 1 }],
    ["an array with holes", new Array(3)],
    ["a date", { at: new Date(0) }],
    ["one object in two places", ((shared) => [shared, { shared }])({ a: 1 })],
  ])("writes what JSON.stringify writes: %s", (_, value) => {
    expect(deepJson(value)).toBe(JSON.stringify(value));
  });

  const nested = (pairs: number) => `${'[{"a":'.repeat(pairs)}1${"}]".repeat(pairs)}`;

  test("writes 100,000 levels, which JSON.stringify cannot, and no more", () => {
    const value = JSON.parse(nested(50_000));
    expect(() => JSON.stringify(value)).toThrow(RangeError);
    expect(deepJson(value) === nested(50_000)).toBe(true);
    expect(() => deepJson([value])).toThrow("There are more than 100000 levels.");
  });

  test("throws for an object that contains itself, and for a bigint", () => {
    const circular: unknown[] = [];
    circular.push([circular]);
    expect(() => deepJson(circular)).toThrow("An object contains itself.");
    expect(() => deepJson([1n])).toThrow(TypeError);
  });
});

let encoder: InstanceType<typeof TextEncoder> | undefined;
let decoder: InstanceType<typeof TextDecoder> | undefined;

/**
 * Makes the encoder at its first use. Jest's jsdom environment has no `TextEncoder`, and an import must
 * not fail there.
 */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  encoder ??= new (globalThis.TextEncoder ?? nodeModule("node:util").TextEncoder)();
  return encoder.encode(text);
}

/** Returns the text of the bytes, a byte order mark included; `undefined` if they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  decoder ??= new (globalThis.TextDecoder ?? nodeModule("node:util").TextDecoder)("utf-8", {
    fatal: true,
    ignoreBOM: true,
  });
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

interface NodeModules {
  "node:util": typeof import("node:util");
  "node:crypto": typeof import("node:crypto");
}

/**
 * Returns a module of Node's in an environment that runs on Node but lacks its globals. It is no import,
 * because this code also runs where there is no Node.
 *
 * @throws Error if there is no Node, or one older than 20.16.
 */
export function nodeModule<Name extends keyof NodeModules>(name: Name): NodeModules[Name] {
  const module = globalThis.process?.getBuiltinModule?.(name);
  if (module === undefined) {
    throw new Error(
      "This environment lacks TextEncoder or crypto.subtle. In Jest, set `testEnvironment` to node.",
    );
  }
  return module as NodeModules[Name];
}

/**
 * Returns the bytes of lower-case hex. Reads character codes, because `parseInt` for each pair of digits
 * takes ten times as long.
 */
export function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  const digit = (at: number) => {
    const code = hex.charCodeAt(at);
    return code < 58 ? code - 48 : code - 87;
  };
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = digit(2 * i) * 16 + digit(2 * i + 1);
  return bytes;
}

/** Returns the bytes of a text in base64. @throws if it is not base64. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  const decoded = atob(text);
  const bytes = new Uint8Array(decoded.length);
  // A loop, because `Uint8Array.from` takes a second for 5 MiB.
  for (let at = 0; at < bytes.length; at++) bytes[at] = decoded.charCodeAt(at);
  return bytes;
}

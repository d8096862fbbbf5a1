import { BlockList, isIP } from "node:net";

/** Addresses that are not reachable from the internet. Source: IANA's registries of special-purpose addresses. */
const PRIVATE = new BlockList();
for (const [address, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const) {
  PRIVATE.addSubnet(address, prefix, "ipv4");
}
for (const [address, prefix] of [
  ["::", 127],
  ["fc00::", 7],
  ["fe80::", 10],
] as const) {
  PRIVATE.addSubnet(address, prefix, "ipv6");
}

/** Returns whether a provider surely cannot reach the host of a URL. Looks no name up. */
export function isPrivateUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const version = isIP(host);
  if (version !== 0) return PRIVATE.check(host, version === 6 ? "ipv6" : "ipv4");
  return !host.includes(".") || /\.(?:localhost|local|internal|lan|home\.arpa|test|invalid)$/.test(host);
}

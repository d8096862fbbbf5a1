import { describeValue } from "@crowdhook/core/internal";
import { UsageError } from "../output.js";
import { isPrivateUrl } from "./private-host.js";

/**
 * Returns the URL to send to, as a function of a delivery's own path. A URL without a path gets that path.
 *
 * @throws UsageError if the text is not a URL to send to.
 */
export function endpoint(text: string, option: string, { needsScheme = false } = {}): (path: string) => URL {
  const full = needsScheme ? text : withScheme(text);
  const url = full !== undefined && URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    const host = needsScheme ? "" : ", or be a host such as localhost:3000";
    throw new UsageError(`${option} must begin with http:// or https://${host}, not ${describeValue(text)}.`);
  }
  if (url.username || url.password)
    throw new UsageError(`${option} must not contain a user name or a password.`);
  if (url.pathname !== "/" || url.search !== "") return () => url;
  return (path) => {
    const own = new URL(url);
    // Set part by part: as a relative URL, a path that begins with two slashes would name another host.
    const [pathname = "", ...query] = path.split("?");
    own.pathname = pathname;
    own.search = query.join("?");
    return own;
  };
}

/**
 * Returns the text with the scheme that it lacks: `http` for a host that only this network knows, else `https`.
 * A port alone is one of this computer.
 */
function withScheme(text: string): string | undefined {
  if (/^[a-z][a-z\d+.-]*:\//i.test(text)) return text;
  const [, port, rest] = /^:?(\d{1,5})([/?].*)?$/s.exec(text) ?? [];
  const address = port === undefined ? text : `localhost:${port}${rest ?? ""}`;
  // A URL parser would take the first part of a path for a host.
  if (!/^[\p{L}\d[_]/u.test(address)) return undefined;
  return `${isPrivateUrl(`http://${address}`) ? "http" : "https"}://${address}`;
}

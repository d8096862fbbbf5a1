/** @throws TypeError unless it begins with a slash and has no query. */
export function checkPath(path: string): void {
  if (typeof path !== "string" || !/^\/[^?#]*$/.test(path)) {
    throw new TypeError(`path must begin with "/" and have no query, not ${JSON.stringify(path)}.`);
  }
}

/** The path of a URL as it stands in a request's first line. */
export function pathOf(url: string): string {
  // Proxies may send the absolute form. Source: RFC 9112, section 3.2.2.
  const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
  return path.replace(/[?#].*$/s, "");
}

export function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

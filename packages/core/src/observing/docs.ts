/**
 * Where the documentation is: the folder of the repository, until a site is published. A site has the same
 * pages below its own address, which ends in a slash, and ".html" in place of ".md".
 */
const DOCS = "docs/";
const PAGE = ".md";

/** Returns the address of a heading, for a line or an output that refers to it. */
export function docsAddress(page: "reference/errors" | "audit/checks", anchor: string): string {
  return `${DOCS}${page}${PAGE}#${anchor}`;
}

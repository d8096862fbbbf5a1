/** Markdown without its code blocks. Keeps the number of lines. */
export function withoutCode(markdown: string): string {
  return markdown.replace(/^( *)(```+).*?^\1\2$/gms, (block) => block.replace(/[^\n]/g, ""));
}

/** The anchors of a page's headings, as GitHub and the site make them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutCode(markdown).matchAll(/^#{1,6} +(.*?)$/gm)) {
    const slug = slugOf(heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1"));
    let anchor = slug;
    for (let times = 1; anchors.has(anchor); times++) anchor = `${slug}-${times}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** GitHub's anchor for the text of a heading. VitePress' own would make `a-b` of `A_B`. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, "")
    .replaceAll(" ", "-");
}

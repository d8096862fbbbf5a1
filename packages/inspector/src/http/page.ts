import type { ServerResponse } from "node:http";
import { SCRIPT, STYLE } from "virtual:page";
import { respond } from "./respond.js";

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Deliveries · crowdhook</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="app.css">
<script type="module" src="app.js"></script>
</head>
<body><noscript>The inspector needs JavaScript.</noscript></body>
</html>
`;

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="#1a7f37"/></svg>`;

const FILES: ReadonlyMap<string, readonly [type: string, text: string]> = new Map([
  ["/", ["text/html; charset=utf-8", HTML]],
  ["/icon.svg", ["image/svg+xml", ICON]],
  ["/app.js", ["text/javascript; charset=utf-8", SCRIPT]],
  ["/app.css", ["text/css; charset=utf-8", STYLE]],
]);

/** Answers with a file of the page. Returns whether there is one. */
export function respondPage(path: string, response: ServerResponse): boolean {
  const file = FILES.get(path);
  if (file) respond(response, 200, ...file);
  return file !== undefined;
}

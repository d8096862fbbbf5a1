import { isUtf8 } from "node:buffer";
import { formatDelivery } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import * as testing from "@crowdhook/core/testing";
import type { Captured } from "./captured.js";
import type { Hiding } from "./hiding.js";

export interface Exported {
  readonly name: string;
  readonly text: string;
}

/** Headers that belong to one connection. */
const CONNECTION = /^(host|connection|content-length|transfer-encoding|keep-alive)$/i;

type Export = (captured: Captured, body: Uint8Array, headers: HeaderLines, origin: string) => Exported;

const EXPORTS: ReadonlyMap<string, Export> = new Map<string, Export>([
  ["curl", curl],
  ["vitest", vitest],
  ["file", file],
]);

/** Returns a delivery in another form, without credentials and secrets; `undefined` for an unknown form. */
export function exportAs(
  form: string,
  captured: Captured,
  hiding: Hiding,
  origin: string,
): Exported | undefined {
  const { body = new Uint8Array() } = captured;
  const headers = hiding
    .headers(captured.headers)
    .filter(({ name }) => !CONNECTION.test(name))
    .map(({ name, value }) => [name, value] as const);
  return EXPORTS.get(form)?.(captured, hiding.bytes(body), headers, origin);
}

/** Returns a command for a POSIX shell. */
function curl(
  { method, path = "/" }: Captured,
  body: Uint8Array,
  headers: HeaderLines,
  origin: string,
): Exported {
  const isText = isUtf8(body) && !body.includes(0);
  const lines = [
    `curl -X ${method} ${quoted(origin + path)}`,
    ...headers.map(([name, value]) => `  -H ${quoted(`${name}: ${value}`)}`),
    isText ? `  --data-binary ${quoted(Buffer.from(body).toString())}` : "  --data-binary @-",
  ];
  const command = lines.join(" \\\n");
  const text = isText
    ? command
    : `base64 -d <<'END' | ${command}\n${Buffer.from(body).toString("base64")}\nEND`;
  return { name: "delivery.sh", text: `${text}\n` };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns a test that signs the body anew, because the signature of the delivery becomes too old. */
function vitest(
  { source, path, events }: Captured,
  body: Uint8Array,
  headers: HeaderLines,
  origin: string,
): Exported {
  const { name = "", secretVariable = "", signsEventIds = true, defaultPath = "/" } = source?.provider ?? {};
  const sign = `sign${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  const url = JSON.stringify(origin + (path ?? defaultPath));
  const title = JSON.stringify(`the app handles ${events[0]?.type || "the delivery"}`);
  const text = JSON.stringify(Buffer.from(body).toString());
  const canSign = sign in testing && isUtf8(body);
  const id = signsEventIds ? "" : `, id: ${JSON.stringify(events[0]?.id ?? "")}`;
  const lines = canSign
    ? [
        `import { ${sign} } from "@crowdhook/core/testing";`,
        'import { expect, test } from "vitest";',
        "",
        `const secret = process.env.${secretVariable} ?? "";`,
        `const body = ${text};`,
        "",
        `test(${title}, async () => {`,
        `  const reply = await fetch(${url}, ${sign}({ secret, body${id} }));`,
      ]
    : [
        'import { expect, test } from "vitest";',
        "",
        `const headers = ${JSON.stringify(Object.fromEntries(headers), undefined, 2)};`,
        `const body = Buffer.from(${JSON.stringify(Buffer.from(body).toString("base64"))}, "base64");`,
        "",
        `test(${title}, async () => {`,
        `  const reply = await fetch(${url}, { method: "POST", headers, body });`,
      ];
  return {
    name: "delivery.test.ts",
    text: [...lines, "  expect(reply.status).toBe(200);", "});", ""].join("\n"),
  };
}

/** Returns a file for `crowdhook replay`. */
function file(
  { receivedAt, method, path = "/" }: Captured,
  body: Uint8Array,
  headers: HeaderLines,
): Exported {
  const text = formatDelivery({ receivedAt: new Date(receivedAt), method, path, headers, body });
  return { name: "delivery.json", text };
}

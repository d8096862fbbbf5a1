// Stands in for API Gateway and Lambda: passes each request to the app's handler as an event of
// version 2.0. Usage: node lambda.js <text|base64>
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

interface Result {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const isBase64Encoded = process.argv[2] === "base64";
const { handler } = await import(pathToFileURL("lambda.js").href);

createServer(async (request, response) => {
  const bytes = await buffer(request);
  const url = new URL(request.url ?? "/", "http://localhost");
  const event = {
    version: "2.0",
    routeKey: "POST /toloka-webhook",
    rawPath: url.pathname,
    rawQueryString: url.search.slice(1),
    headers: request.headers,
    requestContext: { http: { method: request.method, path: url.pathname } },
    body: bytes.length === 0 ? undefined : bytes.toString(isBase64Encoded ? "base64" : "utf8"),
    isBase64Encoded,
  };
  const { statusCode, headers, body }: Result = await handler(event, {});
  response.writeHead(statusCode, headers).end(body);
}).listen(0);

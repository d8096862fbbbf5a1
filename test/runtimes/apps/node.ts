import http from "node:http";
import type { AddressInfo } from "node:net";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { listen, options, SECRETS, stateFor } from "./webhooks.js";

const toloka = tolokaWebhook(SECRETS, options);
const prolific = prolificWebhook(SECRETS, options);
listen(toloka);
listen(prolific);

const server = http.createServer((request, response) => {
  const url = request.url ?? "";
  if (url.startsWith("/app")) response.end(stateFor(url));
  else void (url.startsWith("/prolific") ? prolific : toloka)(request, response);
});
server.listen(0, "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
);

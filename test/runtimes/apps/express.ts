import type { AddressInfo } from "node:net";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/express";
import express from "express";
import { listen, options, SECRETS, stateFor } from "./webhooks.js";

const toloka = tolokaWebhook(SECRETS, options);
const prolific = prolificWebhook(SECRETS, options);
listen(toloka);
listen(prolific);

const app = express();
app.use(toloka);
app.use(prolific);
app.use(express.json());
app.get("/app", (request, response) => {
  response.send(stateFor(request.url));
});
const server = app.listen(0, "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
);

import type { AddressInfo } from "node:net";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/koa";
import Koa from "koa";
import { listen, options, SECRETS, stateFor } from "./webhooks.js";

const toloka = tolokaWebhook(SECRETS, options);
const prolific = prolificWebhook(SECRETS, options);
listen(toloka);
listen(prolific);

const app = new Koa();
app.use(toloka);
app.use(prolific);
app.use((context) => {
  if (context.path === "/app") context.body = stateFor(context.url);
});
const server = app.listen(0, "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
);

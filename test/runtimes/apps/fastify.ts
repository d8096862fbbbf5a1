import type { AddressInfo } from "node:net";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/fastify";
import fastify from "fastify";
import { listen, options, SECRETS, stateFor } from "./webhooks.js";

const app = fastify();
await app.register(tolokaWebhook, { secret: SECRETS, ...options });
await app.register(prolificWebhook, { secret: SECRETS, ...options });
listen(app.toloka);
listen(app.prolific);

app.get("/app", (request, reply) => reply.send(stateFor(request.url)));
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`);

import { prolificWebhook, tolokaWebhook } from "@crowdhook/fetch";
import { listen, options, SECRETS, stateFor } from "./webhooks.js";

const toloka = tolokaWebhook(SECRETS, { ...options, path: "/toloka-webhook" });
const prolific = prolificWebhook(SECRETS, options);
listen(toloka);
listen(prolific);

export default async function handle(request: Request, ...host: unknown[]): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/app") return new Response(stateFor(request.url));
  return (pathname === "/prolific-webhook" ? prolific : toloka)(request, ...host);
}

import { serve } from "@hono/node-server";
import handle from "./fetch.js";

serve({ fetch: (request) => handle(request), port: 0, hostname: "127.0.0.1" }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
);

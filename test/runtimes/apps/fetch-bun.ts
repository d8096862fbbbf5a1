import fetch from "./fetch.js";

declare const Bun: { serve(options: object): { port: number } };

console.log(`http://127.0.0.1:${Bun.serve({ fetch, port: 0, hostname: "127.0.0.1" }).port}`);

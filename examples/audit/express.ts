// A webhook for Toloka with a report route, for `crowdhook audit`:
//
//   TOLOKA_SECRET=12345 REPORT_TOKEN=only-here npx tsx express.ts
//   npx crowdhook audit http://127.0.0.1:3000/toloka-webhook --provider toloka --secret 12345 \
//     --report http://127.0.0.1:3000/handled/only-here
//
// The five lines marked with a number are the report route. It shows handled events to anyone who asks, so do
// not use it in production. It exists only with a REPORT_TOKEN, and only the loopback interface reaches it.
import type { DeliveryRecord } from "@crowdhook/core";
import { tolokaWebhook } from "@crowdhook/express";
import express from "express";

const { PORT = "3000", TOLOKA_SECRET, REPORT_TOKEN } = process.env;

const handled: string[] = []; // 1
const observe = ({ events }: DeliveryRecord) => {
  const done = events.filter(({ outcome }) => outcome === "handled" || outcome === "unrecognized"); // 2
  handled.push(...done.map(({ id }) => id)); // 3
};

const toloka = tolokaWebhook(TOLOKA_SECRET, { observe }); // 4
toloka.onAny(({ type, id }) => console.log(`${type} ${id}`));

const app = express().use(toloka);
if (REPORT_TOKEN) app.get(`/handled/${REPORT_TOKEN}`, (_request, response) => response.json({ handled })); // 5

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  const address = server.address();
  console.log(`Listening on http://127.0.0.1:${typeof address === "object" ? address?.port : PORT}`);
});

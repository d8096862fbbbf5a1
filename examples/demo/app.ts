import { prolificWebhook, tolokaWebhook } from "@crowdhook/express";
import express from "express";
import { clock, print, secret } from "./settings.js";

const toloka = tolokaWebhook(secret, { clock });
toloka.on("POOL_CLOSED", ({ type, data }) => print(`${type} ${data.pool_id}, ${data.close_reason}`));
toloka.on("ASSIGNMENT_APPROVED", ({ type, data }) => print(`${type} ${data.assignment_id}`));
toloka.onUnrecognized(({ type }) => print(`unrecognized ${type}`));
const prolific = prolificWebhook(secret, { clock });
prolific.on("submission.status.change", ({ type, data }) => print(`${type} ${data.resource_id}`));
export const app = express().use(toloka).use(prolific);

import { randomInt } from "node:crypto";
import { createSender } from "../defined-sender.js";
import { cvat } from "./index.js";

const SENDER = { url: "http://localhost:8080/api/users/1", id: 1, username: "admin1" };

/** Source: CVAT's documentation, "Webhooks", "Payloads". Every sample has a new id: equal bodies are one event. */
function sampleOf(type: string) {
  const [action, resource = ""] = type.split(":");
  const id = randomInt(2 ** 31);
  if (action === "ping") return { webhook: { id, target_url: "http://localhost:3000" }, sender: SENDER };
  return {
    [resource]: { url: `http://localhost:8080/api/${resource}s/${id}`, id },
    ...(action === "update" && { before_update: { name: "before" } }),
    webhook_id: 1,
    sender: SENDER,
  };
}

export const cvatSender = createSender(cvat, {
  samples: Object.fromEntries(cvat.eventTypes.map((type) => [type, () => sampleOf(type)])),
  defaultType: "update:task",
  testTypes: ["ping"],
});

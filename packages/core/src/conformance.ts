export { type ClaimStoreUnderTest, claimStoreChecks } from "./conformance/claim-store-checks.js";
export { type DurableSinksUnderTest, durableSinkChecks } from "./conformance/durable-sink-checks.js";

import type { AccountOpener } from "./account.js";
import { prolificAccount } from "./prolific.js";
import { tolokaAccount } from "./toloka.js";

/** Every provider whose subscriptions the command line manages. */
export const ACCOUNTS: readonly [AccountOpener, ...AccountOpener[]] = [tolokaAccount, prolificAccount];

import type { Claim, ClaimStore } from "@crowdhook/core";
import { SCRIPTS } from "./scripts.js";

export interface RedisClaimsOptions {
  /**
   * Sends one command and resolves to its answer, by whatever client the app has. The key is always
   * the fourth argument, for clients of a cluster that have to be told.
   */
  readonly sendCommand: (command: string, ...args: string[]) => Promise<unknown>;
  /** In front of every key. Apps that share a Redis but no webhooks take different ones. Default `crowdhook:`. */
  readonly prefix?: string;
}

/**
 * Claims on Redis: of all processes that share it, one handles an event. Every method is one command
 * that runs one script, atomic where the key lives. Durable as far as that Redis is: a claim that it
 * loses, by a crash without persistence or by a failover, can be won again.
 *
 * @throws TypeError if `sendCommand` is not a function.
 */
export function redisClaims(options: RedisClaimsOptions): Required<ClaimStore> {
  const { sendCommand, prefix = "crowdhook:" } = options;
  if (typeof sendCommand !== "function") {
    throw new TypeError(
      "redisClaims takes { sendCommand }, a function such as (command, ...args) => redis.call(command, ...args) of ioredis.",
    );
  }
  const hashes = new Map<string, Promise<string>>();

  async function run(script: string, key: string, ...args: (string | number)[]): Promise<unknown> {
    let hash = hashes.get(script);
    if (hash === undefined) {
      hash = sha1(script);
      hashes.set(script, hash);
    }
    const rest = ["1", `${prefix}{${key}}`, ...args.map(text)];
    try {
      return await sendCommand("EVALSHA", await hash, ...rest);
    } catch (error) {
      if (!String(error).includes("NOSCRIPT")) throw error;
      // A server that is new, or was restarted, has not seen the script. This also has it remember it.
      return sendCommand("EVAL", script, ...rest);
    }
  }

  return {
    claim: async (key, owner, lease) => String(await run(SCRIPTS.claim, key, owner, lease)) as Claim,
    settle: async (key, owner, ttl) => Number(await run(SCRIPTS.settle, key, owner, ttl)) === 1,
    release: async (key, owner) => {
      await run(SCRIPTS.release, key, owner);
    },
    latestOccurrence: async (key) => {
      const time = await run(SCRIPTS.latestOccurrence, key);
      return time === null ? undefined : Number(time);
    },
    recordOccurrence: async (key, time, ttl) => {
      await run(SCRIPTS.recordOccurrence, key, time, ttl);
    },
  };
}

/** Redis takes whole numbers of milliseconds, in digits alone. */
function text(arg: string | number): string {
  return typeof arg === "string" ? arg : String(Math.min(Math.ceil(arg), Number.MAX_SAFE_INTEGER));
}

/** By WebCrypto, which every runtime has. */
async function sha1(script: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(script));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

import type { Claim, ClaimStore } from "@crowdhook/core";
import { SCRIPTS } from "./scripts.js";

/** How `redisClaims` reaches Redis, and where it keeps its keys. */
export interface RedisClaimsOptions {
  /**
   * Sends one command with the app's own Redis client, and resolves with the answer. The key is always
   * the fourth argument: some cluster clients need it to find the node.
   */
  readonly sendCommand: (command: string, ...args: string[]) => Promise<unknown>;
  /** The prefix of every key. Apps that share a Redis server need different ones. Default `"crowdhook:"`. */
  readonly prefix?: string;
}

/**
 * Creates a claim store on Redis: one of all processes that share the server handles an event. Every
 * method sends one command, which runs one atomic script. If Redis loses a claim, in a failover or in a
 * crash without persistence, another process can win it.
 *
 * @throws TypeError if `sendCommand` is not a function.
 */
export function redisClaims(options: RedisClaimsOptions): Required<ClaimStore> {
  const { sendCommand, prefix = "crowdhook:" } = options;
  if (typeof sendCommand !== "function") {
    throw new TypeError(
      "redisClaims takes { sendCommand }, a function. With ioredis, pass (command, ...args) => redis.call(command, ...args).",
    );
  }
  const hashes = new Map<string, Promise<string>>();

  async function run(script: string, key: string, ...args: (string | number)[]): Promise<unknown> {
    let hash = hashes.get(script);
    if (hash === undefined) {
      hash = sha1(script);
      hashes.set(script, hash);
    }
    const rest = ["1", escapeSurrogates(`${prefix}{${key}}`), ...args.map(argument)];
    try {
      return await sendCommand("EVALSHA", await hash, ...rest);
    } catch (error) {
      if (error instanceof TypeError) throw misuse(error);
      if (!String(error).includes("NOSCRIPT")) throw error;
      // A new or restarted server does not know the script. EVAL also stores it.
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

/** Redis accepts only whole milliseconds, written in digits. */
function argument(arg: string | number): string {
  if (typeof arg === "string") return escapeSurrogates(arg);
  return String(Math.min(Math.ceil(arg), Number.MAX_SAFE_INTEGER));
}

/**
 * Writes each half of a surrogate pair as an escape, because UTF-8 maps all halves to one character, and
 * different keys would become one. Also escapes the backslash, so that no other text looks like an escape.
 */
function escapeSurrogates(text: string): string {
  return text.replace(/[\\\p{Surrogate}]/gu, (found) =>
    found === "\\" ? "\\\\" : `\\u${found.charCodeAt(0).toString(16)}`,
  );
}

/** Uses WebCrypto, which every runtime has. */
async function sha1(script: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(script));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Returns the error with a code, which the receiver logs; it does not log messages of clients. A method that
 * was passed without its client fails so: `redis.call` in place of `(...args) => redis.call(...args)`.
 */
function misuse(cause: TypeError): TypeError {
  const message =
    "sendCommand failed with a TypeError. Pass a function such as (command, ...args) => redis.call(command, ...args), not the method redis.call itself.";
  return Object.assign(new TypeError(message, { cause }), { code: "SEND_COMMAND_UNBOUND" });
}

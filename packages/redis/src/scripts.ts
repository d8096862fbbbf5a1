/**
 * A key holds "done", or "held:" and the owner. Each script uses one key, because a script of a cluster
 * runs on one node.
 */
export const SCRIPTS = {
  /** ARGV: owner, lease in ms. */
  claim: `
local state = redis.call("GET", KEYS[1])
if state == "done" then return "done" end
if state and state ~= "held:" .. ARGV[1] then return "busy" end
redis.call("SET", KEYS[1], "held:" .. ARGV[1], "PX", ARGV[2])
return "won"`,

  /** ARGV: owner, time to live in ms. */
  settle: `
local state = redis.call("GET", KEYS[1])
if state and state ~= "held:" .. ARGV[1] then return 0 end
redis.call("SET", KEYS[1], "done", "PX", ARGV[2])
return 1`,

  /** ARGV: owner. */
  release: `
if redis.call("GET", KEYS[1]) == "held:" .. ARGV[1] then redis.call("DEL", KEYS[1]) end
return 1`,

  latestOccurrence: `return redis.call("GET", KEYS[1])`,

  /** ARGV: time in ms, time to live in ms. Lua's numbers are exact up to 2^53. */
  recordOccurrence: `
local known = tonumber(redis.call("GET", KEYS[1]) or "-1")
local time = tonumber(ARGV[1])
if known > time then time = known end
redis.call("SET", KEYS[1], string.format("%.0f", time), "PX", ARGV[2])
return 1`,
} as const;

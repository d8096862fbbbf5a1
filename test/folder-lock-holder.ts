/**
 * One process of folder-lock.test.ts. It locks a folder and prints `held`, or the reason why it cannot.
 * For each line of input it prints whether it still holds the lock; `release` releases it first.
 */
import { createInterface } from "node:readline";
import { lockFolder } from "../packages/pg-boss/src/database/folder-lock.js";

try {
  const lock = await lockFolder(process.argv[2] ?? "");
  console.log("held");
  // The process stays alive until its input ends.
  for await (const line of createInterface(process.stdin)) {
    if (line === "release") await lock.release();
    try {
      lock.requireHeld();
      console.log("held");
    } catch (error) {
      console.log((error as Error).message);
    }
  }
} catch (error) {
  console.log((error as Error).message);
}

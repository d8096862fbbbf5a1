/** Returns the result of `run`, and how many turns the event loop took meanwhile. */
export async function turnsDuring<T>(run: () => T): Promise<{ result: Awaited<T>; turns: number }> {
  let turns = 0;
  let isDone = false;
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const result = await run();
  isDone = true;
  return { result, turns };
}

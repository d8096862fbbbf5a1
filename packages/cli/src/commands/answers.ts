import { answerOf, firstLines } from "../http/answer.js";
import type { Answer } from "../http/exchange.js";
import { colours, marked, print } from "../output.js";

/** Prints an answer in a line, and under it the first lines of its body. */
export function printAnswer(name: string, answer: Answer, isExpected: boolean): void {
  print(marked(isExpected, `${name}  ${answerOf(answer)}`));
  for (const line of firstLines(answer, isExpected)) print(`    ${colours.dim(line)}`);
}

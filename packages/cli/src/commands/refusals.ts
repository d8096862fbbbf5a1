import type { Provider } from "@crowdhook/core";
import { headersOf } from "@crowdhook/core/internal";
import { parseReply } from "../http/answer.js";
import type { Answer } from "../http/exchange.js";
import { duration } from "../output.js";

/** A delivery with an answer that was not expected, and which secret signed it. */
export interface Refused {
  readonly url: URL;
  readonly answer: Answer;
  readonly provider: Provider;
  /** Names the secret in a sentence, such as "the one in TOLOKA_SECRET". */
  readonly secret: string;
  /** Where a secret was looked for that fits, and none was found. */
  readonly fitsNoneIn?: string | undefined;
}

/** In seconds. Two clocks that nobody has set by hand differ by less. */
const SKEW_MIN = 5;

/** Returns a sentence for the answers with a usual cause: 404 and 401. Of 401 it says whether the secret is the cause. */
function explain({ url, answer, provider, secret, fitsNoneIn }: Refused): string | undefined {
  const { title, signatureFormat } = provider;
  if (answer.status === 404)
    return `${title}: no webhook answers at ${url.pathname}. Pass the URL with the path at which the app has it.`;
  if (answer.status !== 401) return undefined;
  const { code } = parseReply(answer);
  const header = signatureFormat.headers[0];
  switch (code) {
    case "SIGNATURE_MISMATCH":
      if (fitsNoneIn !== undefined)
        return `${title}: the saved signature fits no secret in ${fitsNoneIn} either. Another secret signed it, or the body was changed before it was saved. crowdhook verify looks for the cause.`;
      return `${title}: the receiver probably has another secret than ${secret}. If it has this one, something changes the body on its way.`;
    case "TIMESTAMP_OUT_OF_TOLERANCE":
      return `${title}: the receiver has the right secret. ${clockOf(answer)}`;
    case "SIGNATURE_MISSING":
      return `${title}: this says nothing about the secret. The receiver got no ${header}: it expects another provider at this path, or a proxy removed the header.`;
    case "SIGNATURE_MALFORMED":
      return `${title}: this says nothing about the secret. The receiver cannot read ${header}: something changed it on its way.`;
    default:
      return withoutCode(answer, title, secret);
  }
}

function withoutCode(answer: Answer, title: string, secret: string): string {
  const login = headersOf(answer.headers).get("www-authenticate");
  return login === undefined
    ? `${title}: the answer gives no reason. The receiver probably has another secret than ${secret}.`
    : `${title}: this says nothing about the secret. The server asks for a login (WWW-Authenticate: ${login}).`;
}

/** Compares the clocks by the answer's `Date`, which has whole seconds. */
function clockOf({ headers }: Answer): string {
  const skew = (Date.parse(headersOf(headers).get("date") ?? "") - Date.now()) / 1000;
  if (!(Math.abs(skew) >= SKEW_MIN))
    return "It was signed too long ago, or in the future, for that receiver.";
  return `Its clock is ${duration(Math.abs(skew))} ${skew > 0 ? "ahead of" : "behind"} this one. Set both by NTP.`;
}

/** Collects one explanation for each provider, status and code: thousands of answers may be the same. */
export class Explanations {
  private readonly texts = new Map<string, string | undefined>();

  add(refused: Refused): void {
    const { answer, provider } = refused;
    const key = `${provider.name} ${answer.status} ${parseReply(answer).code}`;
    if (!this.texts.has(key)) this.texts.set(key, explain(refused));
  }

  get all(): readonly string[] {
    return [...this.texts.values()].filter((text) => text !== undefined);
  }
}

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { RequestError } from "./respond.js";

/** Decides whether a request may see deliveries. An error counts as `false`. */
export type Authorize = (request: IncomingMessage) => boolean | Promise<boolean>;

export interface AccessOptions {
  /** Part of the page's URL, after `#`, so that no server and no log sees it. */
  readonly token: string;
  readonly authorize?: Authorize | undefined;
}

/**
 * Every call of the API has it. Another site cannot send it: a browser would ask first, and gets no
 * permission.
 */
const TOKEN_HEADER = "x-crowdhook-token";

const LOOPBACK_HOSTS = new Set(["localhost", "127.0.0.1", "[::1]"]);

export interface Access {
  /** @throws RequestError for a request that must not even see the page. */
  checkPage(request: IncomingMessage): Promise<void>;
  /** @throws RequestError for a request that must not see deliveries. */
  checkCall(request: IncomingMessage): Promise<void>;
}

/**
 * Without `authorize`, only this machine gets an answer, and only with the token. With `authorize`, that
 * function decides instead.
 */
export function createAccess({ token, authorize }: AccessOptions): Access {
  const expected = digestOf(token);

  async function checkPage(request: IncomingMessage): Promise<void> {
    if (authorize === undefined) {
      checkLoopback(request);
      return;
    }
    // Only `true`: a promise that was not awaited, or an object, must not open the page.
    const isAuthorized = await Promise.resolve()
      .then(() => authorize(request))
      .catch(() => false);
    if (isAuthorized !== true) throw new RequestError("You may not see these deliveries.", 403);
  }

  return {
    checkPage,
    async checkCall(request) {
      checkOrigin(request);
      await checkPage(request);
      const { [TOKEN_HEADER]: given } = request.headers;
      const isRight = timingSafeEqual(digestOf(String(given ?? "")), expected);
      if (given === undefined || (authorize === undefined && !isRight))
        throw new RequestError(
          "The token is missing or wrong. Open the URL that the inspector printed.",
          401,
        );
    },
  };
}

/** A digest, because only texts of one length can be compared in constant time. */
function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** The `Host` of a page that rebinds its name to this machine is still its own. */
function checkLoopback(request: IncomingMessage): void {
  const { remoteAddress = "" } = request.socket;
  if (!/^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/.test(remoteAddress))
    throw new RequestError("The inspector answers only on this machine.", 403);
  if (!LOOPBACK_HOSTS.has(hostOf(request)?.hostname ?? ""))
    throw new RequestError("The inspector answers only under localhost, 127.0.0.1 or [::1].", 403);
}

function checkOrigin(request: IncomingMessage): void {
  const { origin, "sec-fetch-site": site } = request.headers;
  if (site === "same-origin" || (site === undefined && origin === undefined)) return;
  if (
    site === undefined &&
    URL.canParse(origin ?? "") &&
    new URL(origin ?? "").host === hostOf(request)?.host
  )
    return;
  throw new RequestError("Another site must not call the inspector.", 403);
}

function hostOf({ headers }: IncomingMessage): URL | undefined {
  const url = `http://${headers.host ?? headers[":authority"] ?? ""}`;
  return URL.canParse(url) ? new URL(url) : undefined;
}

import type { Batch } from "../../src/wire.js";

const TOKEN = "crowdhook-token";

/** Takes the token out of the URL, so that it is not seen on the screen or in the history. */
export function takeToken(): void {
  const [, token] = /^#token=([\w-]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return;
  sessionStorage.setItem(TOKEN, token);
  history.replaceState(null, "", "#/");
}

function headers(): Record<string, string> {
  return { "x-crowdhook-token": sessionStorage.getItem(TOKEN) ?? "-" };
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(`api/${path}`, { ...init, headers: { ...headers(), ...init.headers } });
  if (response.ok) return response;
  const { message } = await response
    .json()
    .catch(() => ({ message: `The inspector answered ${response.status}.` }));
  throw new Error(message);
}

export async function get<T>(path: string): Promise<T> {
  return (await request(path)).json();
}

export async function getBytes(path: string): Promise<Uint8Array> {
  return new Uint8Array(await (await request(path)).arrayBuffer());
}

export async function post<T>(path: string, value: object): Promise<T> {
  const body = JSON.stringify(value);
  return (
    await request(path, { method: "POST", headers: { "content-type": "application/json" }, body })
  ).json();
}

const RETRY_MS = 1_000;

/**
 * Reads the stream for as long as the page is open, and connects again when it ends. `EventSource` cannot
 * send the token in a header.
 */
export async function followStream(
  onBatch: (batch: Batch) => void,
  onState: (problem: string | undefined) => void,
): Promise<never> {
  for (;;) {
    try {
      const { body } = await request("stream");
      onState(undefined);
      if (body !== null) await readEvents(body, onBatch);
      onState("The inspector has ended. Start it again, and open the URL that it prints.");
    } catch (error) {
      onState(error instanceof TypeError ? "The inspector does not answer." : (error as Error).message);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function readEvents(body: ReadableStream<Uint8Array>, onBatch: (batch: Batch) => void): Promise<void> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as never)
    .getReader() as ReadableStreamDefaultReader<string>;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (rest + value).split("\n\n");
    rest = messages.pop() ?? "";
    for (const message of messages) {
      if (message.startsWith("data: ")) onBatch(JSON.parse(message.slice("data: ".length)));
    }
  }
}

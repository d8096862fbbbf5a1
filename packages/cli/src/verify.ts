import { inspect } from "@crowdhook/core/inspect";
import { causes, fits } from "./causes.js";
import { type HeaderLines, headersOf } from "./exchange.js";
import { colours, duration, marked, plain, print, printJson, UsageError } from "./output.js";
import {
  askedSecrets,
  givenSecrets,
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  providerOf,
  type SecretOptions,
} from "./providers.js";
import { load, readBytes } from "./stored.js";

export interface VerifyOptions extends SecretOptions {
  readonly header?: readonly string[];
  readonly body?: string;
  readonly provider?: ProviderName;
  readonly tolerance?: number;
  readonly json?: boolean;
}

/** Resolves with whether the signature fits, and its time is in the right unit and, if asked for, not too old. */
export async function verify(file: string | undefined, options: VerifyOptions): Promise<boolean> {
  const { lines, body, receivedAt } = await given(file, options);
  const headers = headersOf(lines);
  const name = options.provider ?? providerOf(headers, body);
  if (!name)
    throw new UsageError("Neither the headers nor the body say whose delivery this is: pass --provider.");
  const { title, provider } = PROVIDERS[name];
  const secrets = await askedSecrets(name, givenSecrets(name, options));
  const otherSecrets = PROVIDER_NAMES.filter((other) => other !== name).flatMap((other) =>
    givenSecrets(other, {}),
  );

  const parts = provider.parseSignature(headers);
  const secret = typeof parts === "string" ? -1 : secrets.findIndex((secret) => fits(secret, parts, body));
  const looked = causes({ provider: name, headers, body, secrets, otherSecrets });
  const wrongUnit = looked.some(({ name, found }) => name === "time-unit" && found);
  const age = typeof parts === "string" ? undefined : ((receivedAt ?? Date.now()) - parts.timestamp) / 1000;
  const isTooOld = age !== undefined && Math.abs(age) > (options.tolerance ?? Number.POSITIVE_INFINITY);
  const isGood = secret >= 0 && !wrongUnit && !isTooOld;
  const code =
    typeof parts === "string"
      ? parts
      : secret < 0
        ? "SIGNATURE_MISMATCH"
        : isGood
          ? undefined
          : "TIMESTAMP_OUT_OF_TOLERANCE";
  const { events, reason: unreadable } = await inspect(provider, { headers, body }, { secrets: [] });

  if (options.json) {
    printJson({
      provider: name,
      ok: isGood,
      code,
      secret: secret < 0 ? undefined : secret + 1,
      age,
      events: events.map(({ type, id, problems }) => ({ type, id, problems })),
      causes: looked,
    });
    return isGood;
  }
  print(
    `${title}, ${body.byteLength} bytes${age === undefined || wrongUnit ? "" : `, ${aged(age, receivedAt)}`}`,
  );
  if (unreadable) print(marked(false, unreadable));
  for (const event of events) print(`  ${plain(event.type)}  ${colours.dim(plain(event.id))}`);
  if (secret >= 0) {
    print(
      marked(
        true,
        `The signature fits${secrets.length > 1 ? `, with secret ${secret + 1} of ${secrets.length}` : ""}.`,
      ),
    );
    if (wrongUnit)
      print(
        marked(
          false,
          "Its time is in the wrong unit, so that a receiver refuses it (TIMESTAMP_OUT_OF_TOLERANCE).",
        ),
      );
    else if (isTooOld)
      print(marked(false, `It is older than ${options.tolerance} s (TIMESTAMP_OUT_OF_TOLERANCE).`));
    else if (age !== undefined && Math.abs(age) > 300) {
      print(
        colours.dim(
          "  Sent to a receiver with this time, it would be refused: 300 seconds are tolerated by default.",
        ),
      );
    }
    if (isGood) return true;
  } else {
    print(marked(false, `${VERDICTS[code as keyof typeof VERDICTS]} (${code})`));
  }
  print();
  for (const { what, found } of looked) {
    const [first, ...rest] = what.split(/(?=: )/);
    if (found) {
      const fix = rest.join("");
      print(
        `${colours.yellow("found".padEnd(12))} ${colours.bold(first)}${fix}${fix.endsWith("?") ? "" : "."}`,
      );
    } else print(colours.dim(`${(found === false ? "not found" : "not checked").padEnd(12)} ${first}`));
  }
  if (secret < 0 && !looked.some(({ found }) => found)) {
    print(
      `\nNone of these. Then the secret is another one than ${title} signs with, or the body was changed on its way.`,
    );
  }
  return false;
}

const VERDICTS = {
  SIGNATURE_MISSING: "There is no signature.",
  SIGNATURE_MALFORMED: "The signature cannot be read.",
  SIGNATURE_MISMATCH: "The signature does not fit.",
};

function aged(age: number, receivedAt: number | undefined): string {
  const length = duration(Math.abs(age));
  if (receivedAt !== undefined) return `signed ${length} ${age < 0 ? "after" : "before"} it was received`;
  return age < 0 ? `signed ${length} in the future` : `signed ${length} ago`;
}

async function given(
  file: string | undefined,
  options: VerifyOptions,
): Promise<{ lines: HeaderLines; body: Uint8Array; receivedAt?: number }> {
  const { header, body } = options;
  if (file !== undefined) {
    if (header || body) throw new UsageError("Pass a stored delivery, or --header and --body, not both.");
    const delivery = await load(file);
    return { lines: delivery.headers, body: delivery.body, receivedAt: delivery.receivedAt.getTime() };
  }
  if (body === undefined) throw new UsageError("Pass a stored delivery, or --header and --body.");
  const lines = (header ?? []).map((line) => {
    const [, name, value] = /^\s*([\w-]+)\s*:(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(
        `A --header is "Name: value", such as "Toloka-Signature: {v=1, …}", unlike ${JSON.stringify(line)}.`,
      );
    }
    return [name, value.trim()] as const;
  });
  return { lines, body: await readBytes(body) };
}

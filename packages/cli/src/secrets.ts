import type { Provider } from "@crowdhook/core";
import { UsageError } from "./output.js";
import { hidden } from "./prompt.js";

export interface SecretOptions {
  readonly secret?: readonly string[];
}

/** Returns the secrets unchanged, white space included. */
export function givenSecrets(
  { secretVariable }: Provider,
  { secret }: SecretOptions = {},
): readonly string[] {
  if (secret) return secret;
  const { [secretVariable]: list = "" } = process.env;
  return list === "" ? [] : list.split(",");
}

/** Names the secret that signs, for a sentence. */
export function signingSecretName(provider: Provider, options: SecretOptions): string {
  const { length } = givenSecrets(provider, options);
  if (length === 0) return "the one that you typed";
  return `the ${length > 1 ? "first " : ""}one in ${options.secret ? "--secret" : provider.secretVariable}`;
}

/** @throws UsageError for a secret that a receiver would refuse. */
export function secretsFor(provider: Provider, options: SecretOptions): readonly string[] {
  const secrets = givenSecrets(provider, options);
  const source = options.secret ? "--secret" : provider.secretVariable;
  for (const secret of secrets) {
    if (secret === "") throw new UsageError(`${source} contains an empty secret.`);
    if (secret !== secret.trim()) {
      throw new UsageError(
        `A secret in ${source} begins or ends with white space, perhaps the line break of the file it came from. Remove it.`,
      );
    }
  }
  return secrets;
}

/** Returns the secrets, or the one that the user types if there is none. */
export async function askedSecrets(
  { title, secretVariable }: Provider,
  secrets: readonly string[],
): Promise<readonly [string, ...string[]]> {
  const [first, ...others] = secrets;
  return first === undefined ? [await hidden(`${title}'s secret`, secretVariable)] : [first, ...others];
}

import type { EventMap } from "../../event.js";
import type { Provider } from "../../provider.js";
import { assembleProvider } from "./assemble-provider.js";
import { checkDefinition } from "./check-definition.js";
import type { ProviderDefinition } from "./definition.js";
import { createSignature } from "./signature.js";

/**
 * Makes a provider from a description of its signature, its envelope and its events. Every adapter, claim
 * store, sink and tool works with it.
 *
 * @throws TypeError for a definition that cannot work. The message names the field.
 */
export function defineProvider<Events extends EventMap>(
  definition: ProviderDefinition<Events>,
): Provider<Events> {
  checkDefinition(definition);
  const { signature } = definition;
  return assembleProvider(definition, "parse" in signature ? signature : createSignature(signature));
}

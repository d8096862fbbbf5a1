import { type ContractFormat, contractOf } from "@crowdhook/core/contracts";
import { Failure, printDocument } from "./output.js";
import { providersFor } from "./providers.js";

export interface SchemaOptions {
  readonly provider: string;
  readonly format: ContractFormat;
}

/** Prints the contract of a provider. @throws Failure for a provider that has none. */
export async function printSchema({ provider: name, format }: SchemaOptions): Promise<boolean> {
  for (const provider of providersFor(name)) {
    try {
      printDocument(contractOf(provider, format));
    } catch (error) {
      throw error instanceof TypeError ? new Failure(error.message) : error;
    }
  }
  return true;
}

import type { Db } from "pg-boss";

// biome-ignore lint/suspicious/noExplicitAny: the statement decides the type of its rows
type Row = any;

/** A database transaction: node-postgres' client, or the transaction of PGlite. */
export interface Transaction {
  /** Runs one statement. Its parameters are `$1`, `$2` and so on. */
  query<T = Row>(text: string, values?: unknown[]): Promise<{ rows: T[] }>;
}

/** The database that pg-boss runs its statements on. */
export interface Database extends Db {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Row[] }>;
  /**
   * Subscribes to a channel of LISTEN and NOTIFY. Rejects if the connection cannot keep a subscription.
   *
   * @param onReconnect Notifications may have been lost before.
   */
  listen(
    channel: string,
    onNotification: (payload: string) => void,
    onReconnect: () => void,
  ): Promise<{ close(): Promise<void> }>;
  /** Sends a notification to all subscribers. It can get lost. */
  notify(channel: string, payload: string): Promise<void>;
  /** Commits what `run` did, or rolls it back if `run` rejects or takes longer than `timeLimit` milliseconds. */
  transaction<T>(run: (tx: Transaction) => Promise<T>, timeLimit?: number): Promise<T>;
  /** Adds connections for so many more transactions. Returns how many of them can run at once. */
  reserve(transactions: number): number;
  /**
   * Since when only this process uses the database, by the database's clock. `undefined` if other
   * processes can use it.
   */
  readonly exclusiveSince: Date | undefined;
  close(): Promise<void>;
}

/** The database cannot be used as it is. The message says why and how to repair it. */
export class SetupError extends Error {
  override readonly name = "SetupError";
}

/** Lets pg-boss run its statements in the transaction. */
export function inTransaction(tx: Transaction): Db {
  return { executeSql: (text, values) => tx.query(text, values) };
}

/** The transaction took too long, or its listener uses it after its end. */
class TransactionOver extends Error {
  override readonly name = "TransactionOver";
}

/**
 * Runs `run` with a transaction that is usable until `run` settles. A listener that runs on after its
 * timeout must not write into the next user's transaction.
 *
 * @param check Runs before each statement. A statement fails with the error that `check` throws.
 */
export async function whileOpen<T>(
  tx: Transaction,
  run: (tx: Transaction) => Promise<T>,
  timeLimit: number | undefined,
  check: () => void = () => {},
): Promise<T> {
  let isOpen = true;
  const guarded: Transaction = new Proxy(tx, {
    get(target, property) {
      if (!isOpen) {
        throw new TransactionOver(
          "The transaction of this listener has ended. Await every statement before the listener returns.",
        );
      }
      check();
      const value = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    if (timeLimit === undefined) return;
    timer = setTimeout(() => {
      const seconds = timeLimit / 1000;
      reject(new TransactionOver(`The listeners took longer than transactionTimeout (${seconds} seconds).`));
    }, timeLimit);
  });
  try {
    return await Promise.race([run(guarded), late]);
  } finally {
    isOpen = false;
    clearTimeout(timer);
  }
}

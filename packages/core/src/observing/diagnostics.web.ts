/** Does nothing: for runtimes without `node:diagnostics_channel`. */
export function hasSubscribers(): boolean {
  return false;
}

export function publish(_record: object): void {}

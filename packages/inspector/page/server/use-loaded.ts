import { useEffect, useState } from "preact/hooks";

export interface Loaded<T> {
  readonly value?: T;
  readonly error?: string;
}

/**
 * Loads a value when `key` changes, and keeps the previous one until then: what the reader does in a view must
 * not be lost because it loads again. A value that comes after the next change is dropped.
 */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T>>({});
  // `key` stands for what `load` depends on
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setLoaded({ value }),
      (error: Error) => isCurrent && setLoaded({ error: error.message }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key]);
  return loaded;
}

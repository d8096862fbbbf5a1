import { useEffect, useState } from "preact/hooks";

export interface Loaded<T> {
  readonly value?: T;
  readonly error?: string;
}

/** Loads a value when `key` changes. A value that comes after the next change is dropped. */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T> & { readonly key?: string }>({});
  // `key` stands for what `load` depends on
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setLoaded({ value, key }),
      (error: Error) => isCurrent && setLoaded({ error: error.message, key }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key]);
  return loaded.key === key ? loaded : {};
}

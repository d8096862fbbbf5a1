import { useEffect, useState } from "preact/hooks";

/** The part of the page that is shown, as the URL names it after `#`. */
export type Route =
  | { readonly view: "list" }
  | { readonly view: "delivery"; readonly id: number }
  | { readonly view: "compare"; readonly a: number; readonly b: number }
  | { readonly view: "timeline"; readonly provider: string; readonly subject: string }
  | { readonly view: "send" }
  | { readonly view: "sink"; readonly index: number };

function parseRoute(hash: string): Route {
  const [view, first = "", second = ""] = hash.replace(/^#\/?/, "").split("/").map(decoded);
  switch (view) {
    case "delivery":
      return { view, id: Number(first) };
    case "compare":
      return { view, a: Number(first), b: Number(second) };
    case "timeline":
      return { view, provider: first, subject: second };
    case "send":
      return { view };
    case "sink":
      return { view, index: Number(first) };
    default:
      return { view: "list" };
  }
}

/** Returns the route that the URL names, which the page may not have drawn yet. */
export function currentRoute(): Route {
  return parseRoute(location.hash);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function linkTo(...parts: readonly (string | number)[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

export function goTo(...parts: readonly (string | number)[]): void {
  location.hash = linkTo(...parts);
}

export function useRoute(): Route {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const update = () => setRoute(currentRoute());
    addEventListener("hashchange", update);
    return () => removeEventListener("hashchange", update);
  }, []);
  return route;
}

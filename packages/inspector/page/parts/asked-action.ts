/** What a key can ask of the open delivery. */
export type Action = "replay" | "edit" | "compare";

/** The delivery that is drawn, with its actions. */
let open: { readonly id: number; run(action: Action): void } | undefined;
/** An action of a delivery that is still loading. */
let asked: { readonly id: number; readonly action: Action } | undefined;

/** Runs an action of a delivery: now if it is open, otherwise as soon as it is. */
export function askFor(id: number, action: Action): void {
  if (open?.id === id) open.run(action);
  else asked = { id, action };
}

/** Opens a delivery for actions. Returns a function that closes it. */
export function openForActions(id: number, run: (action: Action) => void): () => void {
  const own = { id, run };
  open = own;
  if (asked?.id === id) {
    const { action } = asked;
    asked = undefined;
    run(action);
  }
  return () => {
    if (open === own) open = undefined;
  };
}

/** Drops the action of a delivery that the reader has left. @param id The delivery that opens instead, if one does. */
export function dropAskedExcept(id: number | undefined): void {
  if (asked?.id !== id) asked = undefined;
}

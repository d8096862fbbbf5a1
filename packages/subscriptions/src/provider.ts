/** Maps each provider to its name in a sentence. */
export const TITLES = { toloka: "Toloka", prolific: "Prolific" } as const;

export type ProviderName = keyof typeof TITLES;

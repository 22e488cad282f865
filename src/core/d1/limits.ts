/** D1 refuses statements that are longer, in bytes. */
export const LONGEST_STATEMENT = 100_000;

/** D1 refuses statements that are longer, in bytes. */
export const LONGEST_STATEMENT = 100_000;

/**
 * A D1 database holds 10 GB. Its dump may be longer, because each row repeats its table's and its columns' names: a
 * hundred times as long is more than any schema makes of it, and no size that can be right is refused.
 */
export const LARGEST_DUMP = 1_000 * 1_000 ** 3;

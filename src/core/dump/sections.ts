/** Parts of D1's dump, in its order. Rows and SQLite's own bookkeeping belong to the tables. */
export const SECTIONS = ["tables", "indexes", "triggers", "views"] as const;

export type SectionKind = (typeof SECTIONS)[number];

const MIB = 1024 * 1024;

/** How much each bench measures. */
export interface Sizes {
  /** Each figure is the median of so many. */
  readonly rounds: number;
  /** Of the dump that is copied, and of the one whose stages are measured. */
  readonly copiedBytes: number;
  readonly stagedBytes: number;
  readonly stageRepetitions: number;
  readonly smallDumpBytes: number;
  readonly largeDumpBytes: number;
  readonly catalog: CatalogSizes;
  /** Of the account whose night is simulated, and whose object is measured. */
  readonly databases: number;
  /** A bench that takes longer hangs. */
  readonly limitMs: number;
}

export interface CatalogSizes {
  readonly backups: number;
  readonly databases: number;
  readonly runs: number;
}

export const FULL: Sizes = {
  rounds: 3,
  copiedBytes: 256 * MIB,
  stagedBytes: 16 * MIB,
  stageRepetitions: 32,
  smallDumpBytes: 64 * MIB,
  largeDumpBytes: 1024 * MIB,
  catalog: { backups: 1_000_000, databases: 10_000, runs: 100_000 },
  databases: 10_000,
  limitMs: 30 * 60_000,
};

/** Shows that each bench still works; its figures say nothing. */
export const SHORT: Sizes = {
  rounds: 1,
  copiedBytes: 2 * MIB,
  stagedBytes: 4 * MIB,
  stageRepetitions: 32,
  smallDumpBytes: MIB,
  largeDumpBytes: 4 * MIB,
  catalog: { backups: 5_000, databases: 500, runs: 1_000 },
  databases: 300,
  limitMs: 60_000,
};

/** What statements did, as far as SQLite tells. */
export interface StatementFigures {
  /** Milliseconds. */
  duration: number;
  changes: number;
  last_row_id: number;
  changed_db: boolean;
  size_after: number;
  rows_read: number;
  rows_written: number;
}

/** What D1 tells about a statement, or about all those of an import. */
export interface StatementMeta extends StatementFigures {
  served_by: string;
  served_by_region: string;
  served_by_colo: string;
  served_by_primary: boolean;
  timings: { sql_duration_ms: number };
}

/** The figures, with where they come from. */
export function statementMeta(figures: StatementFigures): StatementMeta {
  return {
    served_by: "d1-nightly-emulator",
    served_by_region: "WEUR",
    served_by_colo: "AMS",
    served_by_primary: true,
    timings: { sql_duration_ms: figures.duration },
    ...figures,
  };
}

import { z } from "zod";

/**
 * What a database's object stores between two alarms:
 *
 *   run        the current or latest run
 *   last       the latest committed backup
 *   leftovers  what a failed run left in the bucket and still has to be deleted
 *   outbox     rows for the catalogue that it has not confirmed yet
 *   row        the database's own row, as it was last reported
 *   prune      the backups after which retention has not looked yet
 */
export const committedSchema = z.object({
  backupId: z.string(),
  manifestSha256: z.string(),
  bookmark: z.string().nullable().catch(null),
  dumpFingerprint: z.string().nullable().catch(null),
});

export interface CommittedBackup {
  readonly backupId: string;
  readonly manifestSha256: string;
  /** The state that was dumped; null if an older release committed it. */
  readonly bookmark: string | null;
  /**
   * Of the plain dump (`since-last.ts`), to compare the next one with; null when it is not known. It stays in the
   * object's own storage: beside an encrypted backup, short values could be guessed from it.
   */
  readonly dumpFingerprint: string | null;
}

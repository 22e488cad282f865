import { z } from "zod";
import {
  type Verification,
  verificationSchema,
  type VerificationView,
  type VerifiedFile,
  viewVerification,
} from "../../core/backup/verification-view.ts";
import {
  type FileCheck,
  fileCheckSchema,
  type Verdict,
  verdictSchema,
} from "../../core/backup/verification.ts";
import { upgradeTables } from "../object/table-versions.ts";

/** A file that was already checked while the plan was made. */
export interface CheckedFile {
  readonly name: string;
  readonly bytes: number;
  readonly verdict: Verdict;
}

const rowSchema = z.object({
  name: z.string(),
  bytes_written: z.number().nullable(),
  plan: z.string().nullable(),
  bytes: z.number().nullable(),
  verdict: z.string().nullable(),
});
type Row = z.infer<typeof rowSchema>;

/** The steps by which its table comes to be: see `upgradeTables`. */
export const VERIFICATION_TABLES = [
  `CREATE TABLE files (
     ordinal INTEGER PRIMARY KEY, name TEXT NOT NULL, bytes_written INTEGER, sha256 TEXT, plan TEXT, bytes INTEGER,
     verdict TEXT)`,
];

/**
 * The verification under way or the latest one, in its object's SQLite: a row a file, since a backup may have
 * thousands of them and each step changes one.
 */
export class VerificationStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
  }

  /** A verification that another release has stored and this one cannot read counts as none: repeating it is cheap. */
  get current(): Verification | null {
    const stored = this.#storage.kv.get("verification");
    const read = verificationSchema.safeParse(stored);
    if (!read.success && stored !== undefined) console.error({ event: "stored-verification-unreadable" });
    return read.data ?? null;
  }

  /** Puts a new verification in the place of one that is over. */
  begin(verification: Verification): void {
    this.#storage.transactionSync(() => {
      // Here and not in the constructor, because a request with an unknown id must leave nothing in storage.
      upgradeTables(this.#sql, "verification", VERIFICATION_TABLES);
      this.#sql.exec("DELETE FROM files");
      this.#storage.kv.put("verification", verification);
    });
  }

  save(verification: Verification): void {
    this.#storage.kv.put("verification", verification);
  }

  /** Stores what is to be read, and the manifest, which has been read already. */
  plan(verification: Verification, manifest: CheckedFile, checks: readonly FileCheck[]): void {
    this.#storage.transactionSync(() => {
      const { name, bytes, verdict } = manifest;
      this.#sql.exec(
        "INSERT INTO files (ordinal, name, bytes_written, bytes, verdict) VALUES (0, ?, ?, ?, ?)",
        name,
        verdict.sound === true ? bytes : null,
        bytes,
        JSON.stringify(verdict),
      );
      for (const [index, check] of checks.entries()) {
        this.#sql.exec(
          "INSERT INTO files (ordinal, name, bytes_written, sha256, plan) VALUES (?, ?, ?, ?, ?)",
          index + 1,
          check.name,
          check.certain ? (check.written[0]?.bytes ?? null) : null,
          check.written[0]?.sha256 ?? null,
          JSON.stringify(check),
        );
      }
      this.save({ ...verification, next: 1 });
    });
  }

  /** What is to be read under this number; null behind the last one. */
  check(ordinal: number): FileCheck | null {
    const [row] = this.#rows("WHERE ordinal = ?", ordinal);
    return row === undefined ? null : fileCheckSchema.parse(JSON.parse(row.plan ?? "null"));
  }

  /** Stores a file's verdict together with what comes next. */
  record(
    ordinal: number,
    bytes: number,
    verdict: Verdict,
    next: (last: boolean) => Verification,
  ): Verification {
    return this.#storage.transactionSync(() => {
      this.#sql.exec(
        "UPDATE files SET bytes = ?, verdict = ? WHERE ordinal = ?",
        bytes,
        JSON.stringify(verdict),
        ordinal,
      );
      const verification = next(this.check(ordinal + 1) === null);
      this.save(verification);
      return verification;
    });
  }

  /** The other file of this backup that was written with this SHA-256. */
  ownerOf(sha256: string, ordinal: number): string | null {
    const sql = "SELECT name FROM files WHERE sha256 = ? AND ordinal <> ? LIMIT 1";
    return this.#sql.exec<{ name: string }>(sql, sha256, ordinal).toArray()[0]?.name ?? null;
  }

  view(verification: Verification): VerificationView {
    return viewVerification(verification, this.#rows("ORDER BY ordinal").map(fileOf));
  }

  #rows(rest: string, ...bindings: number[]): Row[] {
    const sql = `SELECT name, bytes_written, plan, bytes, verdict FROM files ${rest}`;
    return this.#sql
      .exec(sql, ...bindings)
      .toArray()
      .map((row) => rowSchema.parse(row));
  }
}

function fileOf({ name, bytes_written: bytesWritten, bytes, verdict }: Row): VerifiedFile {
  if (verdict === null) return { name, bytesWritten, done: null };
  const read = verdictSchema.parse(JSON.parse(verdict));
  return { name, bytesWritten, done: { bytes: bytes ?? 0, verdict: read } };
}

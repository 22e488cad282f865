import { CHALLENGE_MS, challengeLine, type KeyProof, sameDigest } from "../../core/account/key-proof.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import type { Platform } from "../../core/platform.ts";
import { iso } from "../../core/time.ts";
import { upgradeTables } from "../object/table-versions.ts";

/**
 * The steps by which its table comes to be: see `upgradeTables`. `answered` is the line that was answered last: a
 * request that is repeated because its answer got lost is no mistake.
 */
export const KEY_PROOF_TABLES = [
  `CREATE TABLE key_proof (
     recipient TEXT PRIMARY KEY, proven_at INTEGER, challenge TEXT, line_sha256 TEXT, made_at INTEGER, answered TEXT)`,
];

/**
 * Whose private key was shown, in the account object's SQLite. Of a challenge, its ciphertext is kept and the SHA-256
 * of its line, never the line: who reads this storage can answer none of them.
 */
export class KeyProofs {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    upgradeTables(sql, "key-proofs", KEY_PROOF_TABLES);
  }

  /** Recipients that left the configuration are forgotten: one that comes back has to be proven again. */
  keepOnly(recipients: readonly string[]): void {
    const sql = "DELETE FROM key_proof WHERE recipient NOT IN (SELECT value FROM json_each(?))";
    this.#sql.exec(sql, JSON.stringify(recipients));
  }

  unproven(recipients: readonly string[]): string[] {
    return recipients.filter((recipient) => this.#provenAt(recipient) === null);
  }

  /** Each recipient with its open challenge; one that has none, or too old a one, gets a new one. */
  async items(recipients: readonly string[], platform: Platform): Promise<KeyProof[]> {
    const items: KeyProof[] = [];
    for (const recipient of recipients) {
      const challenge =
        this.#openChallenge(recipient, platform.now()) ?? (await this.#challenge(recipient, platform));
      const provenAt = this.#provenAt(recipient);
      items.push({
        recipient,
        proven: provenAt !== null,
        provenAt: provenAt === null ? null : iso(provenAt),
        challenge,
      });
    }
    return items;
  }

  /** Counts the answers that are right; returns the positions of the others. */
  answer(answers: readonly string[], platform: Platform): number[] {
    const now = platform.now();
    return answers.flatMap((answer, position) => {
      const digest = sha256Of(answer, platform.codecs);
      return this.#take(digest, now) ? [] : [position];
    });
  }

  #take(digest: string, now: number): boolean {
    let fits = false;
    // All are always compared, so that the time taken reveals nothing.
    for (const row of this.#sql.exec<Row>("SELECT * FROM key_proof").toArray()) {
      const open = row.made_at !== null && now - row.made_at < CHALLENGE_MS;
      const opens = sameDigest(digest, row.line_sha256 ?? "") && open;
      const again = sameDigest(digest, row.answered ?? "");
      if (opens) {
        this.#sql.exec(
          `UPDATE key_proof SET proven_at = ?, answered = line_sha256, challenge = NULL, line_sha256 = NULL, made_at = NULL
           WHERE recipient = ?`,
          now,
          row.recipient,
        );
      }
      fits = fits || opens || again;
    }
    return fits;
  }

  async #challenge(recipient: string, platform: Platform): Promise<string> {
    const line = challengeLine(platform.ciphers.randomHex());
    const made = await platform.ciphers.encryptText(recipient, `${line}\n`);
    const now = platform.now();
    // Another request may have made one meanwhile: whoever has been given that must be able to answer it.
    const open = this.#openChallenge(recipient, now);
    if (open !== null) return open;
    this.#sql.exec(
      `INSERT INTO key_proof (recipient, challenge, line_sha256, made_at) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (recipient) DO UPDATE SET challenge = ?2, line_sha256 = ?3, made_at = ?4`,
      recipient,
      made,
      sha256Of(line, platform.codecs),
      now,
    );
    return made;
  }

  #openChallenge(recipient: string, now: number): string | null {
    const row = this.#row(recipient);
    return row === null || row.made_at === null || now - row.made_at >= CHALLENGE_MS ? null : row.challenge;
  }

  #provenAt(recipient: string): number | null {
    return this.#row(recipient)?.proven_at ?? null;
  }

  #row(recipient: string): Row | null {
    return this.#sql.exec<Row>("SELECT * FROM key_proof WHERE recipient = ?", recipient).toArray()[0] ?? null;
  }
}

interface Row extends Record<string, SqlStorageValue> {
  recipient: string;
  proven_at: number | null;
  challenge: string | null;
  line_sha256: string | null;
  made_at: number | null;
  answered: string | null;
}

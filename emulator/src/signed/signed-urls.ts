const VALID_MS = 3_600_000;

/** What a signed URL gives access to. */
export interface SignedObject {
  uuid: string;
  kind: "download" | "upload";
  key: string;
  filename: string;
  /** Whether other bytes have come to lie under the same URL. */
  isChanged: boolean;
}

interface Row extends Omit<SignedObject, "isChanged"> {
  changed: number;
  expires_at: number;
  [column: string]: SqlStorageValue;
}

/** A signed URL's object, or why it is refused. */
export type SignedLookup =
  | { object: SignedObject }
  | { refusal: "unknown" | "expired"; object?: SignedObject };

/** Random tokens that stand for one object each and are valid for one hour. */
export class SignedUrls {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS signed_urls (
      token TEXT PRIMARY KEY, uuid TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
      filename TEXT NOT NULL, expires_at INTEGER NOT NULL, changed INTEGER NOT NULL DEFAULT 0)`);
  }

  /** Makes a token for the object. */
  sign({ uuid, kind, key, filename }: Omit<SignedObject, "isChanged">, now: number): string {
    const token = crypto.getRandomValues(new Uint8Array(32)).toHex();
    this.#sql.exec(
      "INSERT INTO signed_urls (token, uuid, kind, key, filename, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
      token,
      uuid,
      kind,
      key,
      filename,
      now + VALID_MS,
    );
    return token;
  }

  /** Finds the object of a token that was made for this kind of request. */
  find(token: string, kind: SignedObject["kind"], now: number): SignedLookup {
    const [row] = this.#sql
      .exec<Row>("SELECT * FROM signed_urls WHERE token = ? AND kind = ?", token, kind)
      .toArray();
    if (row === undefined) return { refusal: "unknown" };
    const { uuid, key, filename, changed, expires_at } = row;
    const object = { uuid, kind, key, filename, isChanged: changed > 0 };
    return now < expires_at ? { object } : { refusal: "expired", object };
  }

  /** Puts other bytes under the same URL. */
  change(token: string): void {
    this.#sql.exec("UPDATE signed_urls SET changed = 1 WHERE token = ?", token);
  }
}

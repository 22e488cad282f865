/** How a database is to be made; each may be left out. */
export interface DatabaseOptions {
  jurisdiction?: string | undefined;
  replicationMode?: string | undefined;
}

/** A database of the account. */
export interface DatabaseEntry {
  uuid: string;
  name: string;
  version: string;
  created_at: string;
  jurisdiction: string | null;
  replicationMode: string;
  /** Fields that the API tells otherwise than they are, or besides; a JSON object. */
  shownAs: string;
}

/** A page of the list. */
export interface DatabasePage {
  databases: DatabaseEntry[];
  total: number;
}

interface Row extends DatabaseEntry {
  [column: string]: SqlStorageValue;
}

/** The product's own catalogue: it lies in the same account as the databases to be backed up. */
export const CATALOG_NAME = "d1-nightly-catalog";

const COLUMNS = "uuid, name, version, created_at, jurisdiction, replicationMode, shownAs";

/** The databases of the account. */
export class DatabaseRegistry {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS databases (
      position INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
      version TEXT NOT NULL, created_at TEXT NOT NULL, jurisdiction TEXT, replicationMode TEXT NOT NULL,
      shownAs TEXT NOT NULL)`);
  }

  /** Enters a new database, or nothing when the name is taken. */
  create(name: string, now: number, options: DatabaseOptions = {}): DatabaseEntry | undefined {
    if (this.find(name) !== undefined) return undefined;
    const created_at = new Date(now).toISOString();
    const entry = {
      uuid: crypto.randomUUID(),
      name,
      version: "production",
      created_at,
      jurisdiction: options.jurisdiction ?? null,
      replicationMode: options.replicationMode ?? "disabled",
      shownAs: "{}",
    };
    this.#sql.exec(
      `INSERT INTO databases (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      entry.uuid,
      entry.name,
      entry.version,
      entry.created_at,
      entry.jurisdiction,
      entry.replicationMode,
      entry.shownAs,
    );
    return entry;
  }

  /** Looks a database up by its uuid or its name. */
  find(uuidOrName: string): DatabaseEntry | undefined {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM databases WHERE uuid = ?1 OR name = ?1 LIMIT 1`, uuidOrName)
      .toArray()[0];
  }

  /** One page, counted from 1, of the databases whose name contains the text. */
  list(page: number, perPage: number, nameContains: string): DatabasePage {
    const databases = this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS} FROM databases WHERE instr(name, ?) > 0 ORDER BY position LIMIT ? OFFSET ?`,
        nameContains,
        perPage,
        (page - 1) * perPage,
      )
      .toArray();
    const { total } = this.#sql
      .exec<{ total: number }>(
        `SELECT count(*) AS total FROM databases WHERE instr(name, ?) > 0`,
        nameContains,
      )
      .one();
    return { databases, total };
  }

  rename(uuid: string, name: string): void {
    this.#sql.exec("UPDATE databases SET name = ? WHERE uuid = ?", name, uuid);
  }

  /** Sets what the API tells of the database instead of what is true, or besides. */
  showAs(uuid: string, fields: string): void {
    this.#sql.exec("UPDATE databases SET shownAs = ? WHERE uuid = ?", fields, uuid);
  }

  remove(uuid: string): void {
    this.#sql.exec("DELETE FROM databases WHERE uuid = ?", uuid);
  }
}

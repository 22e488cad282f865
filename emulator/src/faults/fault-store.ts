import type { Operation } from "../wire/operation.ts";
import { concerns, struckBy, type Fault, type FaultRule } from "./fault-rule.ts";

/** A rule and what became of it. */
export interface FaultRecord extends FaultRule {
  /** Requests that the rule speaks of. */
  seen: number;
  /** How many of them it struck. */
  struck: number;
}

/** Speaks of every database, and of requests that concern none. */
export const ALL_DATABASES = "*";

/** The faults that are switched on, and how often each has struck. */
export class FaultStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS faults (
      position INTEGER PRIMARY KEY, target TEXT NOT NULL, rule TEXT NOT NULL,
      seen INTEGER NOT NULL DEFAULT 0, struck INTEGER NOT NULL DEFAULT 0)`);
  }

  /** Replaces the faults of a database, or those of all. */
  set(target: string, rules: FaultRule[]): void {
    this.clear(target);
    for (const rule of rules) {
      this.#sql.exec("INSERT INTO faults (target, rule) VALUES (?, ?)", target, JSON.stringify(rule));
    }
  }

  clear(target: string): void {
    this.#sql.exec("DELETE FROM faults WHERE target = ?", target);
  }

  list(target: string): FaultRecord[] {
    return this.#rows(target).map(({ rule, seen, struck }) => ({ ...parseRule(rule), seen, struck }));
  }

  /** The faults that strike this request; counts it. Those of the database come before those of all. */
  strike(uuid: string | undefined, operation: Operation): Fault[] {
    const rows = [...(uuid === undefined ? [] : this.#rows(uuid)), ...this.#rows(ALL_DATABASES)];
    const faults: Fault[] = [];
    for (const { position, rule: json, seen, struck } of rows) {
      const rule = parseRule(json);
      if (!concerns(rule, operation)) continue;
      const strikes = seen >= (rule.skip ?? 0) && struck < (rule.times ?? Infinity);
      this.#sql.exec(
        "UPDATE faults SET seen = seen + 1, struck = struck + ? WHERE position = ?",
        strikes ? 1 : 0,
        position,
      );
      if (strikes) faults.push(struckBy(rule));
    }
    return faults;
  }

  #rows(target: string) {
    return this.#sql
      .exec<{ position: number; rule: string; seen: number; struck: number }>(
        "SELECT position, rule, seen, struck FROM faults WHERE target = ? ORDER BY position",
        target,
      )
      .toArray();
  }
}

function parseRule(json: string): FaultRule {
  // Only set() writes this column, from rules that the control route has checked.
  return JSON.parse(json) as FaultRule;
}

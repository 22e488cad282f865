import { isDue } from "../../src/core/schedule/spread.ts";
import { seeded } from "./clock.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY_MS = 24 * 60 * MINUTE;
const KB = 1_000;
const MB = 1_000 * KB;

/** As the product has it when no policy says otherwise. */
const MAX_UNCHANGED_DAYS = 7;
export const EXAMINE_DAYS = 7;

export interface Database {
  readonly id: string;
  readonly bytes: number;
  readonly exportMs: number;
  readonly tables: number;
  /** It has been backed up before; else this is its first night. */
  readonly isKnown: boolean;
  /** Written to since its latest backup. */
  readonly isChanged: boolean;
  /** Its week without a full backup is over. */
  readonly isDueInFull: boolean;
  readonly isToBeExamined: boolean;
}

/**
 * Sizes and exports as they were seen in the field: 22 kB took 5 s, 140 MB 10 to 30 s, 720 MB some minutes, 2.4 GB more
 * than an hour. How many there are of each is assumed, and so are their tables.
 */
const KINDS = [
  { share: 0.9, bytes: [10 * KB, 10 * MB], exportMs: [4 * SECOND, 6 * SECOND], tables: [2, 14] },
  { share: 0.0895, bytes: [80 * MB, 250 * MB], exportMs: [10 * SECOND, 30 * SECOND], tables: [4, 30] },
  { share: 0.01, bytes: [500 * MB, 1_000 * MB], exportMs: [2 * MINUTE, 5 * MINUTE], tables: [6, 40] },
  { share: 0.0005, bytes: [2_200 * MB, 2_600 * MB], exportMs: [60 * MINUTE, 75 * MINUTE], tables: [6, 40] },
] as const;

export interface Night {
  readonly databases: number;
  /** Share of databases that were written to; null on the first night, when none was ever backed up. */
  readonly changed: number | null;
  /** How often each is asked for values that its dump alters; 0: never. */
  readonly examineDays: number;
  readonly startsAt: number;
  readonly seed: number;
}

export function drawDatabases({ databases, changed, examineDays, startsAt, seed }: Night): Database[] {
  const random = seeded(seed);
  const between = ([low, high]: readonly [number, number]): number => low + random() * (high - low);
  // Small databases are far more than middling ones.
  const skewed = ([low, high]: readonly [number, number]): number => low * (high / low) ** random();
  return Array.from({ length: databases }, () => {
    const id = uuid(random);
    const pick = random();
    let sum = 0;
    const kind = KINDS.find(({ share }) => (sum += share) > pick) ?? KINDS[0];
    const lastFull = lastFullBackup(id, startsAt);
    return {
      id,
      bytes: Math.round(skewed(kind.bytes)),
      exportMs: Math.round(between(kind.exportMs)),
      tables: Math.round(between(kind.tables)),
      isKnown: changed !== null,
      isChanged: random() < (changed ?? 1),
      isDueInFull: changed !== null && isDue(id, MAX_UNCHANGED_DAYS, lastFull, startsAt),
      isToBeExamined: isDue(id, examineDays, changed === null ? null : lastFull, startsAt),
    };
  });
}

/** The night, one to seven days ago, that was the database's own day of the week. */
function lastFullBackup(id: string, now: number): number {
  for (let days = 1; ; days++) {
    const night = now - days * DAY_MS;
    if (isDue(id, MAX_UNCHANGED_DAYS, null, night)) return night;
  }
}

function uuid(random: () => number): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

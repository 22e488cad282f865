import type { ForeignStatement } from "../../../src/core/dump/dump-format.ts";
import { NOTHING_SCANNED, type Scanned, scannedSchema, Tally } from "../../../src/core/dump/tally.ts";
import type { StatementKind } from "../../../src/core/sql/statement-head.ts";
import { StatementScanner, type StatementSet } from "../../../src/core/sql/statements.ts";

export interface SeenStatement {
  readonly kind: StatementKind;
  readonly table: string | null;
  readonly start: number;
  readonly bytes: number;
  readonly marks: number;
}

/** Scans a dump in chunks of the given sizes, of which the last one repeats. */
export function scanStatements(
  dump: Uint8Array,
  sizes: readonly number[] = [dump.length],
  set?: StatementSet,
): { statements: SeenStatement[]; whole: boolean; strayEnd: boolean } {
  const statements: SeenStatement[] = [];
  const scanner = new StatementScanner(
    (kind, table, start, bytes, marks) => statements.push({ kind, table, start, bytes, marks }),
    set,
  );
  for (const chunk of chunksOf(dump, sizes)) scanner.scan(chunk);
  scanner.end();
  return { statements, whole: scanner.betweenStatements, strayEnd: scanner.endsInStray };
}

export interface ScannedVolumes {
  readonly statements: number;
  readonly scanned: Scanned;
  /** Where each volume but the last one ends. */
  readonly cuts: number[];
  readonly whole: boolean;
  /** The first statement that stands where none of its kind does. */
  readonly foreign: ForeignStatement | null;
}

/** Scans a dump as a run does: with a new scanner and a new tally for each volume of `volumeBytes` or more. */
export function scanVolumes(
  dump: Uint8Array,
  volumeBytes: number,
  sizes: readonly number[] = [dump.length],
  createsTables = false,
): ScannedVolumes {
  let scanned = NOTHING_SCANNED;
  let statements = 0;
  let foreign: ForeignStatement | null = null;
  const cuts: number[] = [];
  for (;;) {
    const startsAt = cuts.at(-1) ?? 0;
    const tally = new Tally(scanned, startsAt, createsTables);
    const scanner = new StatementScanner(tally.count);
    let bytes = 0;
    for (const chunk of chunksOf(dump.subarray(startsAt), sizes)) {
      const cut = scanner.scan(chunk, volumeBytes - bytes - 1);
      bytes += cut ?? chunk.length;
      if (cut !== null) break;
    }
    const isLast = startsAt + bytes === dump.length;
    if (isLast) scanner.end();
    // It is stored as JSON between two volumes.
    scanned = scannedSchema.parse(JSON.parse(JSON.stringify(tally.scanned)));
    statements += tally.statements;
    foreign ??= tally.foreign;
    if (isLast) return { statements, scanned, cuts, whole: scanner.betweenStatements, foreign };
    cuts.push(startsAt + bytes);
  }
}

/** The chunks of a stream, of which each is overwritten as soon as the next one is asked for. */
function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let from = 0, turn = 0; from < bytes.length; turn++) {
    const size = Math.max(1, sizes[Math.min(turn, sizes.length - 1)] ?? 1);
    const chunk = bytes.slice(from, from + size);
    yield chunk;
    chunk.fill(59);
    from += size;
  }
}

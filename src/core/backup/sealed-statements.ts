import type { Codecs } from "../bucket/codecs.ts";
import type { PartNotExported } from "../dump/partial-export.ts";

/** What a backup leaves out, as its manifest may tell it, and the statements of it as an age file. */
export interface SealedStatements {
  readonly notExported: PartNotExported[];
  /** Null when nothing is left out, or the backup is not encrypted. */
  readonly sealed: Uint8Array<ArrayBuffer> | null;
}

/**
 * Takes the statements out of what an encrypted backup tells readably: a default, a CHECK or the text of a view may
 * hold what nobody is to read. They become an age file of their own. Gives other bytes each time.
 */
export async function sealStatements(
  parts: PartNotExported[],
  recipients: readonly string[],
  codecs: Pick<Codecs, "encoder">,
): Promise<SealedStatements> {
  if (recipients.length === 0 || parts.length === 0) return { notExported: parts, sealed: null };
  const encoder = codecs.encoder("none", recipients);
  const begun = await encoder.encode(new TextEncoder().encode(statementsText(parts)));
  const pieces = [...begun, ...(await encoder.finish())];
  return { notExported: parts.map((part) => ({ ...part, sql: "" })), sealed: joined(pieces) };
}

/**
 * Without SQLite's own tables, which no statement can make. Each statement ends on a line of its own where a comment
 * could swallow its semicolon.
 */
export function statementsText(parts: readonly PartNotExported[]): string {
  return parts
    .filter(({ name, sql }) => sql !== "" && !/^sqlite_/i.test(name))
    .map(({ sql }) => `${sql}${sql.includes("--") ? "\n" : ""};\n`)
    .join("");
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

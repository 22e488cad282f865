/** Lines whose words were renamed and that are otherwise the same, and the new words for the lines beside them. */

/** Lines of which more was renamed may well be other lines. */
const SAME_WORDS = 0.6;

const TOKEN = /\w+|[^\w\s]/g;

/** From each word of the old lines to what it is called now. */
export type Renaming = ReadonlyMap<string, string>;

function tokens(line: string): string[] {
  return line.match(TOKEN) ?? [];
}

/** Null unless each old word has one new one throughout, the other characters are the same, and most words too. */
export function renaming(old: readonly string[], found: readonly string[]): Renaming | null {
  const renamed = new Map<string, string>();
  let words = 0;
  let kept = 0;
  for (const [index, line] of old.entries()) {
    const before = tokens(line);
    const after = tokens(found[index] ?? "");
    if (before.length !== after.length) return null;
    for (const [at, token] of before.entries()) {
      const now = after[at] ?? "";
      if (!/\w/.test(token) || !/\w/.test(now)) {
        if (token !== now) return null;
        continue;
      }
      if ((renamed.get(token) ?? now) !== now) return null;
      renamed.set(token, now);
      words++;
      if (token === now) kept++;
    }
  }
  return words > 0 && kept / words >= SAME_WORDS ? renamed : null;
}

/** A line of the patch, in today's words. */
export function inNewWords(line: string, renamed: Renaming): string {
  return line.replaceAll(/\w+/g, (word) => renamed.get(word) ?? word);
}

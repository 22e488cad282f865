import { closingBracket, piecesInBrackets, type Token, tokensOf, wordsAt } from "../sql/tokens.ts";

/**
 * What a table asks of its values that an altered one may no longer be: then SQLite refuses its row. In the words of
 * SQL, each once. `sql`: the CREATE statements of the table and of its indexes.
 */
export function tableRules(sql: string): string[] {
  const tokens = tokensOf(sql);
  const found = new Set<string>();
  for (const at of tokens.keys()) {
    if (wordsAt(tokens, at, "CHECK", "(")) found.add("CHECK");
    if (wordsAt(tokens, at, "PRIMARY", "KEY")) found.add("PRIMARY KEY");
    if (wordsAt(tokens, at, "UNIQUE")) found.add("UNIQUE");
    if (wordsAt(tokens, at, "STRICT") && !insideBrackets(tokens, at)) found.add("STRICT");
    if (wordsAt(tokens, at, "AS", "(")) found.add("generated columns");
    if (isIndex(tokens, at) && hasExpression(tokens, at)) found.add("an index on an expression");
  }
  return [...found];
}

function insideBrackets(tokens: readonly Token[], at: number): boolean {
  let depth = 0;
  for (let i = 0; i < at; i++) {
    if (wordsAt(tokens, i, "(")) depth++;
    if (wordsAt(tokens, i, ")")) depth--;
  }
  return depth > 0;
}

function isIndex(tokens: readonly Token[], at: number): boolean {
  return wordsAt(tokens, at, "CREATE", "INDEX") || wordsAt(tokens, at, "CREATE", "UNIQUE", "INDEX");
}

/** Something in brackets of its own, an operator, or a condition behind the columns. */
function hasExpression(tokens: readonly Token[], create: number): boolean {
  const opening = tokens.findIndex((_, index) => index > create && wordsAt(tokens, index, "("));
  const end = closingBracket(tokens, opening);
  if (wordsAt(tokens, end + 1, "WHERE")) return true;
  const commas = piecesInBrackets(tokens, opening).length - 1;
  const symbols = tokens.slice(opening + 1, end).filter(({ kind }) => kind === "symbol");
  return symbols.length > commas;
}

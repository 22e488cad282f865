/** A piece of a statement that means something: everything but white space and comments. */
export interface Token {
  readonly kind: "word" | "name" | "text" | "number" | "symbol";
  /** As it stands in the statement. */
  readonly text: string;
  /** A word in capitals, a quoted name without its quotes; else as it stands there. */
  readonly value: string;
}

const TOKEN = new RegExp(
  [
    String.raw`(?<blank>\s+|--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    "(?<text>'(?:[^']|'')*')",
    String.raw`(?<name>"(?:[^"]|"")*"|${"`(?:[^`]|``)*`"}|\[[^\]]*\])`,
    String.raw`(?<number>\d[\w.]*)`,
    String.raw`(?<word>[\w$\u0080-\uffff]+)`,
    String.raw`(?<symbol>->>?|[\s\S])`,
  ].join("|"),
  "g",
);

/** The tokens of one statement as SQLite reads it, in their order. */
export function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  for (const { 0: text, groups = {} } of sql.matchAll(TOKEN)) {
    if (groups["blank"] !== undefined) continue;
    if (groups["word"] !== undefined) tokens.push({ kind: "word", text, value: text.toUpperCase() });
    else if (groups["name"] !== undefined) tokens.push({ kind: "name", text, value: unquoted(text) });
    else if (groups["text"] !== undefined) tokens.push({ kind: "text", text, value: unquoted(text) });
    else if (groups["number"] !== undefined) tokens.push({ kind: "number", text, value: text });
    else tokens.push({ kind: "symbol", text, value: text });
  }
  return tokens;
}

function unquoted(text: string): string {
  const quote = text.at(-1) ?? "";
  const inner = text.slice(1, -1);
  return quote === "]" ? inner : inner.replaceAll(quote + quote, quote);
}

/** Whether these words stand here, one after the other. */
export function wordsAt(tokens: readonly Token[], at: number, ...words: readonly string[]): boolean {
  return words.every((word, index) => {
    const token = tokens[at + index];
    return token !== undefined && token.kind !== "name" && token.kind !== "text" && token.value === word;
  });
}

/** What a token names, whichever way it is written; null for what is no name. SQLite takes a text for a name, too. */
export function nameOf(token: Token | undefined): string | null {
  if (token === undefined || token.kind === "symbol" || token.kind === "number") return null;
  return token.kind === "word" ? token.text : token.value;
}

/** The index of the bracket that closes the one at `from`, or the end. */
export function closingBracket(tokens: readonly Token[], from: number): number {
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    if (wordsAt(tokens, i, "(")) depth++;
    else if (wordsAt(tokens, i, ")") && --depth === 0) return i;
  }
  return tokens.length;
}

/** The indexes at which the pieces between the commas begin, inside of the bracket at `from`. */
export function piecesInBrackets(tokens: readonly Token[], from: number): number[] {
  const end = closingBracket(tokens, from);
  if (from + 1 >= end) return [];
  const starts = [from + 1];
  let depth = 0;
  for (let i = from + 1; i < end; i++) {
    if (wordsAt(tokens, i, "(")) depth++;
    else if (wordsAt(tokens, i, ")")) depth--;
    else if (depth === 0 && wordsAt(tokens, i, ",")) starts.push(i + 1);
  }
  return starts;
}

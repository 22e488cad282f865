const TOKEN = /\s+|--[^\n]*|\/\*[^]*?\*\/|'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|[\w$\u0080-\uffff]+|[^]/y;
const OPENS_QUOTE = /^['"`[]$/;
const BLANK = /^(\s|--|\/\*)/;
const CREATES_TRIGGER = /^(EXPLAIN (QUERY PLAN )?)?CREATE (TEMP |TEMPORARY )?TRIGGER/;
/** "EXPLAIN QUERY PLAN CREATE TEMPORARY TRIGGER": more words are not needed to know a trigger. */
const LEADING_WORDS = 6;

/**
 * Cuts a stream of SQL text into statements. Quotes, comments and the bodies of triggers may hold semicolons;
 * a trigger ends at the first `END;` that follows a semicolon. Statements that say nothing are left out.
 */
export class StatementSplitter {
  #text = "";
  #start = 0;
  #position = 0;
  #leading: string[] = [];
  #lastTwo: [string, string] = ["", ""];

  /** Takes more text and returns the statements that it completes. */
  push(text: string): string[] {
    this.#text = this.#text.slice(this.#start) + text;
    this.#position -= this.#start;
    this.#start = 0;
    return this.#scan(false);
  }

  /** Returns what is left when there is no more text: the last statement needs no semicolon. */
  end(): string[] {
    const statements = this.#scan(true);
    if (this.#leading.length > 0) statements.push(this.#cut());
    return statements;
  }

  #scan(isAll: boolean): string[] {
    const statements: string[] = [];
    while (this.#position < this.#text.length) {
      TOKEN.lastIndex = this.#position;
      const token = TOKEN.exec(this.#text)?.[0] ?? "";
      // What touches the end may go on in the next piece; so does a quote or a comment without its end.
      const reachesEnd = TOKEN.lastIndex === this.#text.length || this.#isOpen(token);
      if (reachesEnd && !isAll) break;
      this.#position += token.length;
      if (BLANK.test(token)) continue;
      if (token === ";") {
        if (this.#leading.length === 0) this.#cut();
        else if (this.#isComplete()) statements.push(this.#cut());
        else this.#remember(token);
      } else this.#remember(token.toUpperCase());
    }
    return statements;
  }

  #isOpen(token: string): boolean {
    return OPENS_QUOTE.test(token) || (token === "/" && this.#text.charAt(this.#position + 1) === "*");
  }

  #remember(token: string): void {
    if (this.#leading.length < LEADING_WORDS) this.#leading.push(token);
    this.#lastTwo = [this.#lastTwo[1], token];
  }

  #isComplete(): boolean {
    if (!CREATES_TRIGGER.test(this.#leading.join(" "))) return true;
    return this.#lastTwo[0] === ";" && this.#lastTwo[1] === "END";
  }

  #cut(): string {
    const statement = this.#text.slice(this.#start, this.#position).trim();
    this.#start = this.#position;
    this.#leading = [];
    this.#lastTwo = ["", ""];
    return statement;
  }
}

/** All statements of one text. */
export function splitStatements(text: string): string[] {
  const splitter = new StatementSplitter();
  return [...splitter.push(text), ...splitter.end()];
}

/** All statements of a stream of UTF-8, as they arrive. */
export async function* streamStatements(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const splitter = new StatementSplitter();
  const decoder = new TextDecoder();
  for await (const chunk of stream) yield* splitter.push(decoder.decode(chunk, { stream: true }));
  yield* splitter.push(decoder.decode());
  yield* splitter.end();
}

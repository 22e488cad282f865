/** A line that belongs to no dump, and the number (from 1) of the statement before which it stands. */
export interface StrayLine {
  before: number;
  text: string;
}

/** The statements with the line among them; after all of them when there are not so many. */
export function* withStrayLine(statements: Iterable<string>, line: StrayLine): Generator<string, void> {
  let number = 0;
  for (const statement of statements) {
    number += 1;
    if (number === line.before) yield line.text;
    yield statement;
  }
  if (number < line.before) yield line.text;
}

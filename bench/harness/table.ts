/** A table for a terminal: the first column to the left, what is a figure to the right. */
export function table(
  title: string,
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [title, "", line(headings), rule, ...rows.map(line), ""].join("\n");
}

/** Whether a figure keeps to its aim. */
export function verdict(figure: number, aim: number): string {
  return figure <= aim ? "met" : "missed";
}

const LINE_CELLS = 77;

/** The text in lines that fit a terminal of 80 columns, each with the indent before it. */
export function folded(text: string, indent = ""): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= LINE_CELLS)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(indent + word);
  }
  return lines.join("\n");
}

/** The commands of RESTORE.md as text: they work in any POSIX shell, pasted or run, with any user settings. */

/**
 * sqlite3 without the user's own settings (~/.sqliterc), which could print times and statistics between the rows or
 * draw boxes around them.
 */
export const SQLITE = "sqlite3 -batch -init /dev/null";

/** Makes awk and sed work on bytes, whatever the user's locale. */
export const AWK = "LC_ALL=C awk";
export const SED = "LC_ALL=C sed";

/** An indented block of Markdown: the commands. */
export function block(...lines: readonly string[]): string {
  return lines.map((line) => `    ${line}`).join("\n");
}

/** A command that stops, or reports it, if a file has another size. */
export function sizeCheck(file: string, bytes: number): string {
  return `[ "$(wc -c < ${file})" -eq ${bytes} ] || { echo '${file} is incomplete: stop here.' >&2; false; }`;
}

/** A file's name as a word of a shell command, never read as an option. */
export function shellWord(text: string): string {
  if (text.startsWith("-")) return shellWord(`./${text}`);
  return /^[\w./-]+$/.test(text) ? text : inSingleQuotes(text);
}

export function inSingleQuotes(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Text between a shell's double quotes. A `!` goes outside of them, because an interactive bash would replace it. */
export function inDoubleQuotes(text: string): string {
  return text.replace(/[\\"$`]/g, String.raw`\$&`).replaceAll("!", `"'!'"`);
}

/** Text in a paragraph or a list, without line breaks and other characters that a terminal would interpret. */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function part(title: string, ...paragraphs: readonly (string | null)[]): string {
  return [`## ${title}`, ...paragraphs.filter((paragraph) => paragraph !== null)].join("\n\n");
}

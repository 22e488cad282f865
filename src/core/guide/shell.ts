/** The commands of RESTORE.md as text: for any POSIX shell, pasted or run, whatever the settings of its user. */

/**
 * sqlite3 as it comes: `-init` keeps the user's own settings (~/.sqliterc) out, which could print times and statistics
 * between the rows or draw boxes around them.
 */
export const SQLITE = "sqlite3 -batch -init /dev/null";

/** Bytes are bytes, whatever the user's language: for awk, sed and tr. */
export const AWK = "LC_ALL=C awk";
export const SED = "LC_ALL=C sed";

/** An indented block of Markdown: the commands. */
export function block(...lines: readonly string[]): string {
  return lines.map((line) => `    ${line}`).join("\n");
}

/** A command that stops, or says so, when a file has another size. */
export function sizeCheck(file: string, bytes: number): string {
  return `[ "$(wc -c < ${file})" -eq ${bytes} ] || { echo '${file} is not whole: do not go on.' >&2; false; }`;
}

/** A word of a shell's command that is a file's name, and never an option. */
export function shellWord(text: string): string {
  if (text.startsWith("-")) return shellWord(`./${text}`);
  return /^[\w./-]+$/.test(text) ? text : inSingleQuotes(text);
}

export function inSingleQuotes(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** What stands between the double quotes of a shell. A `!` leaves them: an interactive bash would replace it. */
export function inDoubleQuotes(text: string): string {
  return text.replace(/[\\"$`]/g, String.raw`\$&`).replaceAll("!", `"'!'"`);
}

/** Text in a paragraph or a list: no line break, or anything else that a terminal would obey. */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function part(title: string, ...paragraphs: readonly (string | null)[]): string {
  return [`## ${title}`, ...paragraphs.filter((paragraph) => paragraph !== null)].join("\n\n");
}

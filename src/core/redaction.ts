/**
 * What may be repeated of a text that comes from outside: an error of Cloudflare's API, of the bucket or of the
 * catalogue, or an exception. All of these may quote a signed address, a token, a statement or a row, and what is made
 * of them is stored with the run, listed in the catalogue and shown to viewers.
 */

/** So much of a text is looked at; what comes after it is not repeated. */
const READ_LIMIT = 4_000;

/** The length of what is repeated, unless told otherwise. */
const TOLD_LIMIT = 500;

const WITHHELD = "(withheld)";

/** No shorter text is a secret: replacing it would only spoil others. */
const SHORTEST_SECRET = 6;

/**
 * The text without addresses, tokens, statements and quoted values; names of tables, columns and files stay. `secrets`
 * are texts that must not be repeated whatever they look like. The time that it takes grows with `READ_LIMIT` at most.
 */
export function redacted(text: string, secrets: readonly string[] = [], limit = TOLD_LIMIT): string {
  const line = oneLine(withoutSecrets(beginningOf(text), secrets));
  return wordsWithheld(quotesWithheld(line.replace(STATEMENT, "(statement withheld)"))).slice(0, limit);
}

/** Of a longer text, the word that is cut is left out: half a secret is one too. */
function beginningOf(text: string): string {
  if (text.length <= READ_LIMIT) return text;
  const cut = text.slice(0, READ_LIMIT);
  const lastSpace = cut.search(/\s\S*$/);
  return lastSpace < 0 ? WITHHELD : cut.slice(0, lastSpace);
}

function oneLine(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    .trim();
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  const forms = secrets
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]);
  // The longest first: one secret may hold another.
  const longestFirst = [...new Set(forms)].sort((a, b) => b.length - a.length);
  return longestFirst.reduce((left, form) => left.replaceAll(form, WITHHELD), text);
}

/** A statement, up to the end of the text: nobody knows where it ends, and it may hold rows. */
const STATEMENT =
  /\b(?:(?:INSERT|REPLACE|UPDATE|DELETE|SELECT|VALUES|CREATE|ALTER)(?=[ (])|(?:(?:insert|replace) into|delete from|select [\w*",.()]+ from|update \w+ set|values ?\()).*$/u;

/**
 * Quoted text stays when it looks like a name and nothing says that it is a piece of a statement, as it is in
 * `near "…": syntax error`.
 */
function quotesWithheld(text: string): string {
  let told = "";
  let at = 0;
  while (at < text.length) {
    const quote = text[at] ?? "";
    const opens = `"'\``.includes(quote) && !/\w/.test(text[at - 1] ?? "");
    if (!opens) {
      told += quote;
      at += 1;
      continue;
    }
    const end = closing(text, quote, at);
    const inside = text.slice(at + 1, end);
    const isPiece = /\b(?:near|token):? ?$/i.test(text.slice(Math.max(at - 8, 0), at));
    told += quote + (NAME.test(inside) && !isPiece ? inside : WITHHELD) + quote;
    at = end + 1;
  }
  return told;
}

const NAME = /^[A-Za-z_$][\w$.]{0,63}$/;

/** Where the quote closes, doubled ones passed over; the end of the text when it does not. */
function closing(text: string, quote: string, opened: number): number {
  for (let at = opened + 1; at < text.length; at++) {
    if (text[at] !== quote) continue;
    if (text[at + 1] !== quote) return at;
    at += 1;
  }
  return text.length;
}

function wordsWithheld(text: string): string {
  let isNextSecret = false;
  const words = text.split(" ").map((word) => {
    const told = isNextSecret ? WITHHELD : wordWithheld(word);
    isNextSecret = /^\W*(?:bearer|basic)\W*$/i.test(word);
    return told;
  });
  return words.join(" ");
}

/** An address in whatever scheme, with a name or a query in it, is withheld whole; of other words what could be a token. */
function wordWithheld(word: string): string {
  if (/:\\?\/|\/\\?\/|@|^\W*(?:data|blob|file|javascript|mailto):/i.test(word)) return "(address withheld)";
  return word
    .replace(/[?&][^?&]*=.*$/, `?${WITHHELD}`)
    .replace(
      /((?:signature|credential|secret|password|token|key)["']?[=:]["']?)[^"'()\s]+/gi,
      `$1${WITHHELD}`,
    )
    .replace(/[\w+=%~-]{20,}/g, (run) => (couldBeToken(run) ? WITHHELD : run));
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A long name is made of words and numbers, with signs between them; a token mixes letters and digits. */
function couldBeToken(run: string): boolean {
  if (UUID.test(run)) return false;
  return run
    .split(/[_-]/)
    .some((piece) => piece.length > 24 || (piece.length >= 10 && /\d/.test(piece) && /[a-z]/i.test(piece)));
}

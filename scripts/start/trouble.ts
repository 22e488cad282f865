/** Why `npm start` cannot continue, as one paragraph for the user. */
export class Trouble extends Error {
  override readonly name = "Trouble";
}

/** The paragraph to print for whatever was thrown. */
export function paragraphOf(error: unknown): string {
  if (error instanceof Trouble) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return `Something unexpected went wrong: ${text}`;
}

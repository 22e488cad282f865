/** A part of an object: its first byte and how many there are. */
export interface ByteRange {
  offset: number;
  length: number;
}

/** What a Range header asks of an object of this size: a part of it, all of it, or what it does not have. */
export function parseRange(header: string | null, size: number): ByteRange | "all" | "unsatisfiable" {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  const [, first = "", last = ""] = match ?? [];
  // A header that is not understood is ignored, as the standard has it.
  if (match === null || first + last === "") return "all";
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  return offset < end ? { offset, length: end - offset } : "unsatisfiable";
}

import { create } from "content-disposition";

/**
 * What a download request asks for, by RFC 9110: conditions (section 13), then a range of bytes (section 14).
 *
 * Conditions on dates are ignored, as they must be, because no response has a Last-Modified. A request for several
 * ranges gets the entire file, which the RFC allows.
 */

/** The single version of a file that can be downloaded. */
export interface Representation {
  /** A strong one, quotes included. */
  readonly etag: string;
  readonly bytes: number;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface DownloadRequest {
  readonly method: string;
  readonly headers: Pick<Headers, "get">;
}

export type Wanted =
  | ({ readonly kind: "whole" | "part" } & ByteRange)
  | { readonly kind: "unsatisfiable" | "not-modified" | "precondition-failed" };

/** Evaluates the request's conditions, in the RFC's order, and then its range. */
export function wantedBytes({ method, headers }: DownloadRequest, of: Representation): Wanted {
  const ifMatch = headers.get("If-Match");
  if (ifMatch !== null && !names(ifMatch, of.etag, false)) return { kind: "precondition-failed" };
  const ifNoneMatch = headers.get("If-None-Match");
  if (ifNoneMatch !== null && names(ifNoneMatch, of.etag, true)) return { kind: "not-modified" };
  const whole = { kind: "whole", offset: 0, length: of.bytes } as const;
  const ifRange = headers.get("If-Range");
  // Ranges are defined for GET alone; and what began as another version must not go on with this one.
  if (method !== "GET" || (ifRange !== null && ifRange !== of.etag)) return whole;
  const range = readRange(headers.get("Range"), of.bytes);
  if (range === null) return whole;
  return range === "unsatisfiable" ? { kind: range } : { kind: "part", ...range };
}

/** The status and headers of the response, without the content type. */
export function answerOf(
  wanted: Wanted,
  of: Representation,
  fileName: string,
): { status: 200 | 206 | 304 | 412 | 416; headers: Record<string, string> } {
  const headers = { ETag: of.etag, "Accept-Ranges": "bytes" };
  switch (wanted.kind) {
    case "not-modified":
      return { status: 304, headers };
    case "precondition-failed":
      return { status: 412, headers };
    case "unsatisfiable":
      return { status: 416, headers: { ...headers, "Content-Range": `bytes */${of.bytes}` } };
    case "whole":
    case "part": {
      const { offset, length } = wanted;
      const contained = {
        ...headers,
        "Content-Length": String(length),
        "Content-Disposition": create(fileName.toWellFormed()),
      };
      if (wanted.kind === "whole") return { status: 200, headers: contained };
      const range = `bytes ${offset}-${offset + length - 1}/${of.bytes}`;
      return { status: 206, headers: { ...contained, "Content-Range": range } };
    }
  }
}

/** A range of what is made of pieces one behind the other: which of them it takes bytes from, and which bytes of each. */
export function acrossPieces<Piece>(
  range: ByteRange,
  pieces: readonly Piece[],
  bytesOf: (piece: Piece) => number,
): { readonly piece: Piece; readonly from: number; readonly to: number }[] {
  const taken = [];
  let begin = 0;
  for (const piece of pieces) {
    const from = Math.max(range.offset - begin, 0);
    const to = Math.min(range.offset + range.length - begin, bytesOf(piece));
    if (from < to) taken.push({ piece, from, to });
    begin += bytesOf(piece);
  }
  return taken;
}

/** Whether a list of entity tags, or `*`, names this one. A weak tag counts only where weak comparison does. */
function names(list: string, etag: string, weakly: boolean): boolean {
  if (list.trim() === "*") return true;
  const tags = list.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => tag === etag || (weakly && tag === `W/${etag}`));
}

/** The bytes that a Range header asks for; null when it asks for none, or in a way that is to be ignored. */
function readRange(header: string | null, size: number): ByteRange | "unsatisfiable" | null {
  const [, set] = /^bytes=(.*)$/i.exec(header ?? "") ?? [];
  const [spec, ...others] = (set ?? "").split(",").flatMap((text) => text.trim() || []);
  const [, first = "", last = ""] = /^(\d*)-(\d*)$/.exec(spec ?? "") ?? [];
  if (others.length > 0 || (first === "" && last === "")) return null;
  if (first === "") {
    const length = Math.min(Number(last), size);
    if (Number(last) === 0) return "unsatisfiable";
    // A suffix of an empty file is the entire file, and no Content-Range can express that.
    return length === 0 ? null : { offset: size - length, length };
  }
  const offset = Number(first);
  if (last !== "" && Number(last) < offset) return null;
  if (offset >= size) return "unsatisfiable";
  return { offset, length: (last === "" ? size : Math.min(Number(last) + 1, size)) - offset };
}

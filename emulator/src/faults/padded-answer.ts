import { findFault, type Fault } from "./fault-rule.ts";

const CHUNK = new Uint8Array(64 * 1024).fill(0x78);

/**
 * The same answer with a body that is longer by `pad` bytes, or without its length, as the faults want it. The padding
 * is a field before all others, so that whoever wants the result has to read past it; it is made while it is read.
 */
export async function padAnswer(answer: Response, faults: readonly Fault[]): Promise<Response> {
  const hasLength = findFault(faults, "no-content-length") === undefined;
  const pad = findFault(faults, "pad");
  if (hasLength && pad === undefined) return answer;
  const body = new Uint8Array(await answer.arrayBuffer());
  const { length, pieces } = pad === undefined ? whole(body) : padded(body, pad.value);
  const stream = streamOf(pieces);
  const { status, headers } = answer;
  headers.delete("content-length");
  return new Response(hasLength ? stream.pipeThrough(new FixedLengthStream(length)) : stream, {
    status,
    headers,
  });
}

interface Body {
  length: number;
  pieces: Iterable<Uint8Array, void>;
}

function whole(body: Uint8Array): Body {
  return { length: body.length, pieces: [body] };
}

/** `{…}` becomes `{"padding":"xxx",…}`. */
function padded(body: Uint8Array, bytes: number): Body {
  const opening = new TextEncoder().encode('{"padding":"');
  const closing = new TextEncoder().encode('",');
  const rest = body.subarray(1);
  const length = opening.length + bytes + closing.length + rest.length;
  return { length, pieces: piecesOf(opening, bytes, closing, rest) };
}

function* piecesOf(opening: Uint8Array, bytes: number, ...after: Uint8Array[]): Generator<Uint8Array, void> {
  yield opening;
  for (let left = bytes; left > 0; left -= CHUNK.length) yield CHUNK.slice(0, left);
  yield* after;
}

/** A stream that asks for the next piece when the one before it was taken. */
function streamOf(pieces: Iterable<Uint8Array, void>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}

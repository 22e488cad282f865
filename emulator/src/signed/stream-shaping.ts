/** How the bytes of a body leave; without any of these, as fast as they are taken. */
export interface StreamShape {
  /** End after so many bytes as if that were all. */
  endAfter?: number | undefined;
  /** Break after so many bytes. */
  failAfter?: number | undefined;
  /** Send nothing more after so many bytes, and do not end. */
  stallAfter?: number | undefined;
  bytesPerSecond?: number | undefined;
}

const BEFORE_BREAK_MS = 100;
const STALL_MS = 600_000;
const TICKS_PER_SECOND = 10;

/**
 * Moves a body of a known length into the answer, in this shape. `report` hears how many bytes were sent before the
 * receiver can have the last of them, or when it has gone away.
 */
export async function sendShaped(
  source: AsyncIterable<Uint8Array>,
  sink: WritableStream<Uint8Array>,
  length: number,
  shape: StreamShape,
  report: (bytes: number) => Promise<void>,
): Promise<void> {
  const writer = sink.getWriter();
  // Its rejection says that the receiver has gone; write() says so as well.
  const gone = writer.closed.catch(() => {});
  const limit = Math.min(
    length,
    shape.endAfter ?? length,
    shape.failAfter ?? length,
    shape.stallAfter ?? length,
  );
  const startedAt = Date.now();
  let sent = 0;
  let isReported = false;
  const tell = async () => {
    if (!isReported) await report(sent);
    isReported = true;
  };
  try {
    for await (const chunk of source) {
      for (const piece of pieces(chunk.subarray(0, limit - sent), shape.bytesPerSecond)) {
        sent += piece.length;
        if (sent === limit) await tell();
        await writer.write(piece);
        if (shape.bytesPerSecond !== undefined) {
          // By bytes, not by pieces: a piece may be far smaller than what a tick allows.
          const ahead = (sent / shape.bytesPerSecond) * 1000 - (Date.now() - startedAt);
          if (ahead > 0) await scheduler.wait(ahead);
        }
      }
      if (sent === limit) break;
    }
    await tell();
    if (shape.stallAfter !== undefined && shape.stallAfter < length) {
      await Promise.race([gone, scheduler.wait(STALL_MS)]);
    }
    if (shape.failAfter === undefined || shape.failAfter >= length) {
      await writer.close();
      return;
    }
    // What is still on its way would be lost, even the headers.
    await scheduler.wait(BEFORE_BREAK_MS);
    await writer.abort(new Error("The emulator breaks this body off (fault)."));
  } catch {
    await tell();
  }
}

function* pieces(chunk: Uint8Array, bytesPerSecond: number | undefined): Generator<Uint8Array, void> {
  const size =
    bytesPerSecond === undefined ? chunk.length : Math.max(1, Math.ceil(bytesPerSecond / TICKS_PER_SECOND));
  for (let offset = 0; offset < chunk.length; offset += size) yield chunk.subarray(offset, offset + size);
}

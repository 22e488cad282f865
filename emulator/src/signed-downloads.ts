import { parseRange, type ByteRange } from "./byte-range.ts";
import { changedCopy } from "./changed-copy.ts";
import { findFault, type Fault } from "./faults.ts";
import { cutAfter, falseContentLength, FRONT_HEADER } from "./front-orders.ts";
import { storageError } from "./object-storage-errors.ts";
import type { SignedObject } from "./signed-urls.ts";
import { sendShaped, type StreamShape } from "./stream-shaping.ts";
import { answerUnderFaults } from "./struck-answers.ts";
import { accountStub } from "./stubs.ts";

/** What lies under a signed URL. */
interface Source {
  size: number;
  etag: string;
  open(range: ByteRange): Promise<ReadableStream<Uint8Array> | undefined>;
}

const HTML =
  "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to continue.</body></html>\n";

/** Answers a GET of a signed URL, faults included. */
export async function download(
  request: Request,
  env: Env,
  ctx: Pick<ExecutionContext, "waitUntil">,
  token: string,
): Promise<Response> {
  const hasBearer = request.headers.has("authorization");
  const { faults, lookup } = await accountStub(env).admitSigned(token, "download", hasBearer);
  return answerUnderFaults(request, faults, false, async () => {
    if ("refusal" in lookup) {
      return storageError(lookup.refusal === "expired" ? "ExpiredRequest" : "SignatureDoesNotMatch");
    }
    if (findFault(faults, "expired") !== undefined) return storageError("ExpiredRequest");
    if (hasBearer) return storageError("InvalidArgument");
    if (findFault(faults, "redirect") !== undefined) {
      return new Response(null, { status: 302, headers: { location: `${request.url}?redirected` } });
    }
    const source = await sourceOf(env, token, lookup.object, faults);
    if (source === undefined) return storageError("NoSuchKey");
    return serve(request, source, faults, ctx, (bytesServed) =>
      accountStub(env).addTraffic(lookup.object.uuid, { bytesServed }),
    );
  });
}

async function sourceOf(
  env: Env,
  token: string,
  object: SignedObject,
  faults: readonly Fault[],
): Promise<Source | undefined> {
  if (findFault(faults, "empty") !== undefined) return textSource("");
  if (findFault(faults, "not-a-dump") !== undefined) return textSource(HTML);
  let { key } = object;
  if (findFault(faults, "change") !== undefined) {
    key = await changedCopy(env.DUMPS, key);
    await accountStub(env).repoint(token, key);
  }
  const head = await env.DUMPS.head(key);
  if (head === null) return undefined;
  const open = async (range: ByteRange) => (await env.DUMPS.get(key, { range }))?.body;
  return { size: head.size, etag: head.httpEtag, open };
}

function textSource(text: string): Source {
  const bytes = new TextEncoder().encode(text);
  return {
    size: bytes.length,
    etag: `"emulated-${bytes.length}"`,
    open: async ({ offset, length }) =>
      new Response(bytes.subarray(offset, offset + length)).body ?? undefined,
  };
}

async function serve(
  request: Request,
  source: Source,
  faults: readonly Fault[],
  ctx: Pick<ExecutionContext, "waitUntil">,
  report: (bytes: number) => Promise<void>,
): Promise<Response> {
  const etag = findFault(faults, "wrong-etag") === undefined ? source.etag : `"${crypto.randomUUID()}"`;
  const ifMatch = request.headers.get("if-match");
  if (ifMatch !== null && ifMatch !== "*" && ifMatch !== etag) return storageError("PreconditionFailed");
  const range = wantedRange(request, source.size, etag, faults);
  if (range === "unsatisfiable")
    return storageError("InvalidRange", { "content-range": `bytes */${source.size}` });
  const part = range === "all" ? { offset: 0, length: source.size } : range;
  const hasLength = findFault(faults, "no-content-length") === undefined;
  const headers = new Headers({
    "content-type": "application/sql",
    "accept-ranges": "bytes",
    // A proxy that compressed the dump would hide its length.
    "cache-control": "no-transform",
    etag,
  });
  if (range !== "all") {
    const total = hasLength ? source.size : "*";
    headers.set("content-range", `bytes ${part.offset}-${part.offset + part.length - 1}/${total}`);
  }
  const init = { status: range === "all" ? 200 : 206, headers };
  if (part.length === 0) return new Response("", init);
  const bytes = await source.open(part);
  if (bytes === undefined) return storageError("NoSuchKey");
  const shape: StreamShape = {
    endAfter: findFault(faults, "truncate")?.value,
    failAfter: findFault(faults, "reset")?.value,
    stallAfter: findFault(faults, "stall")?.value,
    bytesPerSecond: findFault(faults, "throttle")?.value,
  };
  const isExact = hasLength && shape.endAfter === undefined;
  const promised = promisedLength(request, faults, part.length, headers);
  const pipe =
    isExact && promised === part.length ? new FixedLengthStream(part.length) : new IdentityTransformStream();
  if (hasLength && promised !== undefined) headers.set("content-length", `${promised}`);
  ctx.waitUntil(sendShaped(bytes, pipe.writable, part.length, shape, report));
  return new Response(pipe.readable, init);
}

function wantedRange(request: Request, size: number, etag: string, faults: readonly Fault[]) {
  if (findFault(faults, "ignore-range") !== undefined) return "all";
  const ifRange = request.headers.get("if-range");
  return ifRange !== null && ifRange !== etag ? "all" : parseRange(request.headers.get("range"), size);
}

/** The Content-Length to announce. Over a socket, only the front can announce a false one or end before it. */
function promisedLength(
  request: Request,
  faults: readonly Fault[],
  length: number,
  headers: Headers,
): number {
  const wrong = findFault(faults, "wrong-length");
  const truncate = findFault(faults, "truncate");
  if (request.headers.has(FRONT_HEADER)) {
    if (wrong !== undefined) headers.set(FRONT_HEADER, falseContentLength(wrong.value));
    else if (truncate !== undefined) headers.set(FRONT_HEADER, cutAfter(truncate.value, length));
  }
  return wrong?.value ?? length;
}

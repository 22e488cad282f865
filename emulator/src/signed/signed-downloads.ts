import { parseRange } from "../wire/byte-range.ts";
import { sourceOf, type Source } from "./download-sources.ts";
import { findFault, type Fault } from "../faults/fault-rule.ts";
import { cutAfter, falseContentLength, FRONT_HEADER } from "../wire/front-orders.ts";
import { storageError } from "../wire/object-storage-errors.ts";
import { sendShaped, type StreamShape } from "./stream-shaping.ts";
import { answerUnderFaults } from "../faults/fault-answers.ts";
import { accountStub } from "../stubs.ts";

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
    if (findFault(faults, "change") !== undefined) await accountStub(env).change(token);
    const source = await sourceOf(env, lookup.object, faults);
    if (source === undefined) return storageError("NoSuchKey");
    return serve(request, source, faults, ctx, (bytesServed) =>
      accountStub(env).addTraffic(lookup.object.uuid, { bytesServed }),
    );
  });
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
    "content-type": "text/plain; charset=utf-8",
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
  const shape: StreamShape = {
    endAfter: findFault(faults, "truncate")?.value,
    failAfter: findFault(faults, "reset")?.value,
    stallAfter: findFault(faults, "stall")?.value,
    bytesPerSecond: findFault(faults, "throttle")?.value,
  };
  const promised = findFault(faults, "wrong-length")?.value ?? part.length;
  const isWhole = shape.endAfter === undefined || shape.endAfter >= part.length;
  const isHonest = promised === part.length && isWhole;
  // Over a socket, a false length needs the front; within one process the header alone does it.
  const needsFront = !isHonest && request.headers.has(FRONT_HEADER);
  if (hasLength && needsFront) {
    const order =
      shape.endAfter === undefined ? falseContentLength(promised) : cutAfter(shape.endAfter, promised);
    headers.set(FRONT_HEADER, order);
  }
  if (hasLength && !needsFront) headers.set("content-length", `${promised}`);
  const pipe = hasLength && isHonest ? new FixedLengthStream(part.length) : new IdentityTransformStream();
  ctx.waitUntil(sendShaped(source.open(part), pipe.writable, part.length, shape, report));
  return new Response(pipe.readable, init);
}

function wantedRange(request: Request, size: number, etag: string, faults: readonly Fault[]) {
  if (findFault(faults, "ignore-range") !== undefined) return "all";
  const ifRange = request.headers.get("if-range");
  return ifRange !== null && ifRange !== etag ? "all" : parseRange(request.headers.get("range"), size);
}

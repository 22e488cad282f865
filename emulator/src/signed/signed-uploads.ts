import { findFault } from "../faults/fault-rule.ts";
import { storageError } from "../wire/object-storage-errors.ts";
import { answerUnderFaults } from "../faults/fault-answers.ts";
import { accountStub } from "../stubs.ts";

/** Answers a PUT of a signed URL: stores the file and tells its MD5 as the ETag, as R2 does for a single PUT. */
export async function upload(request: Request, env: Env, token: string): Promise<Response> {
  const hasBearer = request.headers.has("authorization");
  const { faults, lookup } = await accountStub(env).admitSigned(token, "upload", hasBearer);
  return answerUnderFaults(request, faults, false, async () => {
    if ("refusal" in lookup) {
      return storageError(lookup.refusal === "expired" ? "ExpiredRequest" : "SignatureDoesNotMatch");
    }
    if (findFault(faults, "expired") !== undefined) return storageError("ExpiredRequest");
    if (hasBearer) return storageError("InvalidArgument");
    const length = Number(request.headers.get("content-length") ?? Number.NaN);
    if (Number.isNaN(length)) return storageError("MissingContentLength");
    const body = request.body?.pipeThrough(new FixedLengthStream(length)) ?? "";
    const { httpEtag } = await env.DUMPS.put(lookup.object.key, body, {});
    const isWrong = findFault(faults, "wrong-etag") !== undefined;
    return new Response(null, { headers: { etag: isWrong ? `"${"0".repeat(32)}"` : httpEtag } });
  });
}

/**
 * What the test sees of the bucket without the product's help: everything that is listed, each object's bytes,
 * and whether a multipart upload still takes parts (R2 cannot list uploads).
 */
export const bucketWindow = {
  async fetch(request: Request, env: Pick<Env, "BACKUPS">): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const key = searchParams.get("key") ?? "";
    const upload = env.BACKUPS.resumeMultipartUpload(key, searchParams.get("uploadId") ?? "");
    switch (`${request.method} ${pathname}`) {
      case "GET /_crash/objects":
        return Response.json(await listed(env.BACKUPS));
      case "GET /_crash/object":
        return new Response((await env.BACKUPS.get(key))?.body ?? null);
      case "POST /_crash/uploads":
        return Response.json({ uploadId: (await env.BACKUPS.createMultipartUpload(key)).uploadId });
      case "POST /_crash/parts":
        return Response.json(await takesParts(upload));
      case "DELETE /_crash/uploads":
        await upload.abort();
        return new Response(null, { status: 204 });
      default:
        return new Response(null, { status: 404 });
    }
  },
};

async function listed(bucket: R2Bucket): Promise<{ key: string; size: number }[]> {
  const objects: { key: string; size: number }[] = [];
  let page: R2Objects | null = null;
  do {
    page = await bucket.list(page?.truncated === true ? { cursor: page.cursor } : {});
    objects.push(...page.objects.map(({ key, size }) => ({ key, size })));
  } while (page.truncated);
  return objects;
}

/** Sends one more part, of a number that no upload of ours comes to. */
async function takesParts(upload: R2MultipartUpload): Promise<{ accepted: boolean; refusal: string | null }> {
  try {
    await upload.uploadPart(9_999, "a part too many");
    return { accepted: true, refusal: null };
  } catch (error) {
    return { accepted: false, refusal: error instanceof Error ? error.message : String(error) };
  }
}

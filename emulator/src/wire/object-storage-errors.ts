const ERRORS = {
  SignatureDoesNotMatch: { status: 403, message: "The request signature we calculated does not match." },
  ExpiredRequest: { status: 403, message: "Request has expired" },
  InvalidArgument: { status: 400, message: "Only one auth mechanism allowed" },
  NoSuchKey: { status: 404, message: "The specified key does not exist." },
  PreconditionFailed: {
    status: 412,
    message: "At least one of the pre-conditions you specified did not hold.",
  },
  InvalidRange: { status: 416, message: "The requested range is not satisfiable" },
  MissingContentLength: { status: 411, message: "You must provide the Content-Length HTTP header." },
} as const;

/** An error of the object storage behind the signed URLs: XML, as S3 words it. */
export function storageError(code: keyof typeof ERRORS, headers: HeadersInit = {}): Response {
  const { status, message } = ERRORS[code];
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  return new Response(body, { status, headers: { "content-type": "application/xml", ...headers } });
}

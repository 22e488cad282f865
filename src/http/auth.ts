import type { Context, MiddlewareHandler } from "hono";
import type { AccessIdentity, AccessRules, ApiEnv, Role } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";

/** Refuses everybody if no access is configured. Lets viewers only read, and admins do everything. */
export const authenticate: MiddlewareHandler<ApiEnv> = async (context, next) => {
  const { access, identity } = context.env;
  if (!access.ok) return failureProblem(access.failure);
  const rules = access.value;
  if (rules.adminToken === null && rules.viewerToken === null && rules.accessAudience === null)
    return notConfigured();
  const authorization = context.req.header("Authorization");
  const caller =
    authorization === undefined
      ? await callerOfIdentity(rules, identity)
      : await callerOfToken(rules, authorization);
  if (caller === null) return unauthenticated(rules);
  const { role, who } = caller;
  const writes = context.req.method !== "GET" && context.req.method !== "HEAD";
  if (writes && role !== "admin")
    return forbidden(
      "Only an admin may do this; you are a viewer.",
      "Use ADMIN_TOKEN, or add your email address to ACCESS_ADMINS.",
    );
  if (writes && authorization === undefined && isCrossSite(context)) {
    return forbidden(
      "A page on another site made your browser send this request.",
      "Send it from this site, or with a bearer token.",
    );
  }
  context.set("role", role);
  context.set("who", who);
  return next();
};

/** Who calls; `who` is the name for the record of changes. */
interface Caller {
  readonly role: Role;
  readonly who: string;
}

async function callerOfToken(rules: AccessRules, authorization: string): Promise<Caller | null> {
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (token === undefined) return null;
  // Both are always compared, so that the time taken reveals nothing about either.
  const admin = await equal(token, rules.adminToken);
  const viewer = await equal(token, rules.viewerToken);
  if (admin) return { role: "admin", who: "ADMIN_TOKEN" };
  return viewer ? { role: "viewer", who: "VIEWER_TOKEN" } : null;
}

async function callerOfIdentity(rules: AccessRules, identity: AccessIdentity | null): Promise<Caller | null> {
  if (rules.accessAudience === null || identity === null) return null;
  // The users of another Access application have another audience, and no access here.
  if (!(await equal(identity.aud, rules.accessAudience))) return null;
  const email = (await identity.getIdentity())?.email?.toLowerCase();
  const role = email !== undefined && rules.accessAdmins.includes(email) ? "admin" : "viewer";
  return { role, who: email ?? "an identity without an email address" };
}

/** Takes constant time for any input, because it compares digests of equal length, not the texts. */
async function equal(given: string, wanted: string | null): Promise<boolean> {
  const encoder = new TextEncoder();
  const [a, b] = await Promise.all([
    crypto.subtle.digest("SHA-256", encoder.encode(given)),
    crypto.subtle.digest("SHA-256", encoder.encode(wanted ?? "")),
  ]);
  return crypto.subtle.timingSafeEqual(a, b) && wanted !== null;
}

/** Access authenticates by a cookie, which the browser would also send with a request from another site's page. */
function isCrossSite(context: Context<ApiEnv>): boolean {
  const site = context.req.header("Sec-Fetch-Site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = context.req.header("Origin");
  return origin !== undefined && origin !== new URL(context.req.url).origin;
}

function notConfigured(): Response {
  return problem({
    title: "No access configured",
    status: 503,
    code: "no-access-configured",
    detail: "Neither ADMIN_TOKEN, VIEWER_TOKEN nor ACCESS_AUD is set, so every request is refused.",
    hint: "Run `openssl rand -hex 32`, store the result with `npx wrangler secret put ADMIN_TOKEN`, and send it as `Authorization: Bearer …`.",
  });
}

function unauthenticated(rules: AccessRules): Response {
  const ways = [
    rules.adminToken !== null || rules.viewerToken !== null
      ? "send `Authorization: Bearer TOKEN` with the Worker's ADMIN_TOKEN or VIEWER_TOKEN"
      : null,
    rules.accessAudience !== null
      ? "sign in through Cloudflare Access (the application's audience tag must equal ACCESS_AUD)"
      : null,
  ].filter((way) => way !== null);
  return problem(
    {
      title: "Not authenticated",
      status: 401,
      code: "unauthenticated",
      detail: "The request has no valid token or identity.",
      hint: `To authenticate, ${ways.join(", or ")}.`,
    },
    { "WWW-Authenticate": 'Bearer realm="d1-nightly"' },
  );
}

function forbidden(detail: string, hint: string): Response {
  return problem({ title: "Not allowed", status: 403, code: "forbidden", detail, hint });
}

import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodNotAllowed } from "hono/method-not-allowed";
import { secureHeaders } from "hono/secure-headers";
import { describeException } from "../core/failure.ts";
import { authenticate } from "./auth.ts";
import type { ApiEnv, Dependencies } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";
import { refuseQueries } from "./requests.ts";
import { backups } from "./routes/backups.ts";
import { catalog } from "./routes/catalog.ts";
import { databases } from "./routes/databases.ts";
import { health, healthz } from "./routes/health.ts";
import { keyProof } from "./routes/key-proof.ts";
import { orphans } from "./routes/orphans.ts";
import { repairs } from "./routes/repairs.ts";
import { policies } from "./routes/policies.ts";
import { retention } from "./routes/retention.ts";
import { runs } from "./routes/runs.ts";
import { verifications } from "./routes/verifications.ts";

/** Ten times the size of a policy that names a thousand tables. */
const BODY_LIMIT = 1024 * 1024;

const routes = new Hono<ApiEnv>()
  .use(authenticate)
  .use(bodyLimit({ maxSize: BODY_LIMIT, onError: () => bodyTooLarge() }))
  .use(refuseQueries)
  // Health comes before what needs a configuration, because it reports what is wrong with that.
  .route("/", health)
  .use(async (context, next) => {
    const { platform } = context.env;
    if (!platform.ok) return failureProblem(platform.failure);
    context.set("platform", platform.value);
    await next();
    context.header("Cache-Control", "no-store");
    return undefined;
  })
  .route("/", databases)
  .route("/", policies)
  .route("/", runs)
  .route("/", backups)
  .route("/", retention)
  .route("/", verifications)
  .route("/", repairs)
  .route("/", catalog)
  .route("/", orphans)
  .route("/", keyProof);

/**
 * Somebody who can write to the bucket must not be able to run code in the browser of somebody who opens a file of it.
 * So no response runs anything, and each is what its type says. Whether to require HTTPS is the host's owner's choice.
 */
const secured = secureHeaders({
  contentSecurityPolicy: { sandbox: [], defaultSrc: ["'none'"] },
  strictTransportSecurity: false,
});

const allRoutes = new Hono<ApiEnv>()
  .route("/api", routes)
  .route("/", healthz)
  .get("/", (context) =>
    context.text("d1-nightly backs up D1 databases to R2. Its API is below /api and needs a bearer token.\n"),
  );

export const api = new Hono<ApiEnv>()
  .use(secured)
  .use(methodNotAllowed({ app: allRoutes, onMethodNotAllowed: wrongMethod }))
  .route("/", allRoutes)
  .notFound((context) =>
    problem({
      title: "No such route",
      status: 404,
      code: "route-not-found",
      detail: `There is no route ${context.req.method} ${context.req.path.slice(0, 200)}.`,
      hint: "The README lists the routes of the API.",
    }),
  )
  .onError((error, context) =>
    problem({
      title: "Internal error",
      status: 500,
      code: "internal-error",
      detail: describeException(error, tokensOf(context.env)),
      hint: "This is a bug in d1-nightly. Please report it with this text.",
    }),
  );

function tokensOf({ access }: Dependencies): string[] {
  if (!access.ok) return [];
  return [access.value.adminToken, access.value.viewerToken].filter((token) => token !== null);
}

function bodyTooLarge(): Response {
  return problem({
    title: "The body is too large",
    status: 413,
    code: "body-too-large",
    detail: `The body of a request may have at most ${BODY_LIMIT} bytes.`,
    hint: "Send only the fields that the README lists. No request needs more than that.",
  });
}

function wrongMethod(context: Context<ApiEnv>, methods: string[]): Response {
  const allowed = methods.join(", ");
  return problem(
    {
      title: "Method not allowed",
      status: 405,
      code: "method-not-allowed",
      detail: `There is no route ${context.req.method} ${context.req.path.slice(0, 200)}.`,
      hint: `This path supports ${allowed}. The README lists the routes of the API.`,
    },
    { Allow: allowed },
  );
}

/** For typed clients: `hc<Api>(url)`. */
export type Api = typeof api;

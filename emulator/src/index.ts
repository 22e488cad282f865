import { Hono } from "hono";
import { clientApi } from "./api/client-api.ts";
import { controlApi } from "./control/control-api.ts";
import { failure } from "./wire/envelope.ts";
import { download } from "./signed/signed-downloads.ts";
import { upload } from "./signed/signed-uploads.ts";

export { EmulatedAccount } from "./account/account.ts";
export { EmulatedDatabase } from "./database/database.ts";

const app = new Hono<{ Bindings: Env }>();

app.route("/client/v4", clientApi);
app.route("/_emulator", controlApi);
app.get("/_signed/:token/:filename", (c) => download(c.req.raw, c.env, c.executionCtx, c.req.param("token")));
app.put("/_signed/:token/:filename", (c) => upload(c.req.raw, c.env, c.req.param("token")));
app.notFound(() => failure("noRoute"));
app.onError((error) => {
  // Faults that only an exception can express must reach the runtime.
  throw error;
});

export default { fetch: app.fetch } satisfies ExportedHandler<Env>;

import { Hono } from "hono";
import { createSamples } from "../samples/create-samples.ts";
import { accountRoutes } from "./account-routes.ts";
import { databaseRoutes } from "./database-routes.ts";
import { faultRoutes } from "./fault-routes.ts";

/** The routes by which a test or a curious user drives the emulator. They need no token. */
export const controlApi = new Hono<{ Bindings: Env }>();

controlApi.route("/databases", databaseRoutes);
controlApi.route("/databases", faultRoutes);
controlApi.route("/", accountRoutes);
controlApi.post("/samples", async (c) => c.json(await createSamples(c.env)));
controlApi.all("*", (c) =>
  c.json({ error: "There is no such control route; emulator/README.md lists them." }, 404),
);

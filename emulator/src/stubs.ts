/** The one account. */
export function accountStub(env: Env) {
  return env.ACCOUNT.get(env.ACCOUNT.idFromName("account"));
}

/**
 * The database with this uuid. The id goes without its name: into an object that knows its name, `wrangler dev`
 * puts a table of its own, which would show in every dump.
 */
export function databaseStub(env: Env, uuid: string) {
  const { DATABASES } = env;
  return DATABASES.get(DATABASES.idFromString(DATABASES.idFromName(uuid).toString()));
}

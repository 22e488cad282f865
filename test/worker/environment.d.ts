interface __BaseEnv_Env {
  /** Of the project "encrypted": what its volumes are decrypted with. */
  TEST_IDENTITIES?: string;
  AGE_RECIPIENTS?: string;
  TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
}

import { describe, expect, it } from "vitest";
import { readAccessConfig, readJobConfig } from "../../src/config.ts";

const right = {
  BACKUPS: {},
  CATALOG: {},
  CLOUDFLARE_ACCOUNT_ID: "0123456789abcdef0123456789abcdef",
  CLOUDFLARE_API_TOKEN: "token",
  CATALOG_DATABASE_NAME: "d1-nightly-catalog",
};

describe("the job's configuration", () => {
  it("has defaults for what may be left out, also when it is set to nothing", () => {
    for (const extra of [
      {},
      { COMPRESSION: "", VOLUME_BYTES: "", KEY_PREFIX: "", CLOUDFLARE_API_BASE_URL: "" },
    ]) {
      expect(readJobConfig({ ...right, ...extra })).toMatchObject({
        ok: true,
        value: {
          apiBaseUrl: "https://api.cloudflare.com/client/v4",
          compression: "gzip",
          volumeBytes: 134_217_728,
          keyPrefix: "d1/",
        },
      });
    }
  });

  it("reads what is set", () => {
    const set = {
      COMPRESSION: "none",
      VOLUME_BYTES: "1048576",
      KEY_PREFIX: "backups/d1/",
      CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:8788/client/v4",
    };
    expect(readJobConfig({ ...right, ...set })).toMatchObject({
      ok: true,
      value: {
        apiBaseUrl: "http://127.0.0.1:8788/client/v4",
        compression: "none",
        volumeBytes: 1_048_576,
        keyPrefix: "backups/d1/",
      },
    });
  });

  it("names every problem at once", () => {
    const read = readJobConfig({});
    expect(read.ok).toBe(false);
    const names = read.ok ? [] : read.problems.map(({ name }) => name);
    expect(names).toEqual([
      "BACKUPS",
      "CATALOG",
      "CLOUDFLARE_ACCOUNT_ID",
      "CLOUDFLARE_API_TOKEN",
      "CATALOG_DATABASE_NAME",
    ]);
  });

  it.each([
    ["CLOUDFLARE_ACCOUNT_ID", "not an id", "wrangler whoami"],
    ["CLOUDFLARE_API_TOKEN", "", "D1 · Edit"],
    ["CLOUDFLARE_API_TOKEN", "two words", "secret put"],
    ["CLOUDFLARE_API_BASE_URL", "api.cloudflare.com", "leave it out"],
    ["CLOUDFLARE_API_BASE_URL", "file:///etc/passwd", "leave it out"],
    ["COMPRESSION", "brotli", '"gzip"'],
    ["VOLUME_BYTES", "many", "134217728"],
    ["VOLUME_BYTES", "1000", "1048576"],
    ["VOLUME_BYTES", "1048576.5", "whole number"],
    ["KEY_PREFIX", "d1", 'end with "/"'],
    ["KEY_PREFIX", "/", "not begin with it"],
  ])("refuses %s = %j and says what to do", (name, value, fix) => {
    const read = readJobConfig({ ...right, [name]: value });
    expect(read).toMatchObject({ ok: false, problems: [{ name, problem: expect.stringContaining(fix) }] });
  });

  it("shows no value in a problem", () => {
    const read = readJobConfig({ ...right, CLOUDFLARE_API_TOKEN: "se cret" });
    expect(JSON.stringify(read)).not.toContain("se cret");
  });
});

describe("who may call", () => {
  it.each([
    ["ADMIN_TOKEN", "short", "16 characters"],
    ["VIEWER_TOKEN", "short", "16 characters"],
    ["ACCESS_AUD", "x", "audience tag"],
  ])("refuses %s = %j", (name, value, fix) => {
    expect(readAccessConfig({ [name]: value })).toMatchObject({
      ok: false,
      problems: [{ name, problem: expect.stringContaining(fix) }],
    });
  });

  it("refuses one token for both roles", () => {
    const token = "the-same-token-twice";
    expect(readAccessConfig({ ADMIN_TOKEN: token, VIEWER_TOKEN: token })).toMatchObject({
      ok: false,
      problems: [{ name: "VIEWER_TOKEN" }],
    });
  });

  it("reads the list of admins without regard to case and blanks", () => {
    const read = readAccessConfig({
      ACCESS_AUD: "a".repeat(64),
      ACCESS_ADMINS: " Ada@example.com, ,bob@example.com",
    });
    expect(read).toMatchObject({ ok: true, value: { accessAdmins: ["ada@example.com", "bob@example.com"] } });
  });
});

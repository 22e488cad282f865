import { describe, expect, it } from "vitest";
import { readAccessConfig, readJobConfig } from "../../src/config.ts";

const right = {
  BACKUPS: {},
  CATALOG: {},
  CLOUDFLARE_ACCOUNT_ID: "0123456789abcdef0123456789abcdef",
  CLOUDFLARE_API_TOKEN: "token",
  CATALOG_DATABASE_NAME: "d1-nightly-catalog",
};

const RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const OTHER = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

describe("AGE_RECIPIENTS", () => {
  const read = (AGE_RECIPIENTS: string) => readJobConfig({ ...right, AGE_RECIPIENTS });

  it.each<[string, string, string[]]>([
    ["is not set", "", []],
    ["names one", RECIPIENT, [RECIPIENT]],
    ["names two, with spaces", ` ${RECIPIENT} , ${OTHER}`, [RECIPIENT, OTHER]],
    ["names one twice", `${RECIPIENT},${RECIPIENT}`, [RECIPIENT]],
  ])("%s", (_, value, recipients) => {
    expect(read(value)).toMatchObject({ ok: true, value: { recipients } });
  });

  it.each<[string, string, RegExp]>([
    ["white space", "  ", /position 1: it is empty/],
    ["a comma too many", `${RECIPIENT},`, /position 2: it is empty/],
    ["a letter too few", RECIPIENT.slice(0, -1), /position 1: .*has a typo/],
    ["a letter that is wrong", RECIPIENT.replace("ql3", "ql4"), /position 1: .*has a typo/],
    ["a word", `${RECIPIENT},plain`, /position 2: .*age-keygen/],
    ["an SSH key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", /SSH keys/],
    [
      "a private key",
      "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
      /private key, which this Worker must never see/,
    ],
  ])("with %s stops every backup, and its value is not repeated", (_, value, problem) => {
    const config = read(value);
    expect(config).toMatchObject({
      ok: false,
      problems: [{ name: "AGE_RECIPIENTS", problem: expect.stringMatching(problem) }],
    });
    expect(JSON.stringify(config)).not.toMatch(/GFPYY|AAAAC3|ql3z7/);
  });
});

describe("the job's configuration", () => {
  it("has defaults for what may be left out, also when it is set to nothing", () => {
    for (const extra of [
      {},
      { COMPRESSION: "", VOLUME_BYTES: "", KEY_PREFIX: "", CLOUDFLARE_API_BASE_URL: "" },
      { EXPORTS_AT_ONCE: "", API_CALLS_PER_5_MINUTES: "" },
    ]) {
      expect(readJobConfig({ ...right, ...extra })).toMatchObject({
        ok: true,
        value: {
          apiBaseUrl: "https://api.cloudflare.com/client/v4",
          compression: "gzip",
          volumeBytes: 134_217_728,
          keyPrefix: "d1/",
          exportsAtOnce: 6,
          apiBudget: 960,
        },
      });
    }
  });

  it("reads what is set", () => {
    const set = {
      COMPRESSION: "none",
      VOLUME_BYTES: "1048576",
      KEY_PREFIX: "backups/d1/",
      EXPORTS_AT_ONCE: "9",
      API_CALLS_PER_5_MINUTES: "1200",
      CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:8788/client/v4",
    };
    expect(readJobConfig({ ...right, ...set })).toMatchObject({
      ok: true,
      value: {
        apiBaseUrl: "http://127.0.0.1:8788/client/v4",
        compression: "none",
        volumeBytes: 1_048_576,
        keyPrefix: "backups/d1/",
        exportsAtOnce: 9,
        apiBudget: 1_200,
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
    ["CLOUDFLARE_API_TOKEN", "two words", "secret put CLOUDFLARE_API_TOKEN"],
    ["CLOUDFLARE_API_TOKEN", "token\n", "secret put CLOUDFLARE_API_TOKEN"],
    ["CLOUDFLARE_API_TOKEN", '"token"', "secret put CLOUDFLARE_API_TOKEN"],
    ["CLOUDFLARE_API_BASE_URL", "https://api.example/v 4", "a space"],
    ["CLOUDFLARE_API_BASE_URL", "https://me:password@api.example/v4", "a password"],
    ["CLOUDFLARE_API_BASE_URL", "https://api.example/v4?key=1", "a query"],
    ["CATALOG_DATABASE_NAME", "", "database_name in wrangler.jsonc"],
    ["CATALOG_DATABASE_NAME", "d1-nightly-catalog\n", "a line end"],
    ["CATALOG_DATABASE_NAME", "'d1-nightly-catalog'", "a quote"],
    ["CLOUDFLARE_API_BASE_URL", "api.cloudflare.com", "leave it out"],
    ["CLOUDFLARE_API_BASE_URL", "file:///etc/passwd", "leave it out"],
    ["COMPRESSION", "brotli", '"gzip"'],
    ["VOLUME_BYTES", "many", "134217728"],
    ["VOLUME_BYTES", "1000", "1048576"],
    ["VOLUME_BYTES", "1048576.5", "whole number"],
    ["EXPORTS_AT_ONCE", "0", "from 1 to 50"],
    ["EXPORTS_AT_ONCE", "51", "the default is 6"],
    ["EXPORTS_AT_ONCE", "2.5", "whole number"],
    ["EXPORTS_AT_ONCE", "six", "whole number"],
    ["API_CALLS_PER_5_MINUTES", "99", "from 100 to 1200"],
    ["API_CALLS_PER_5_MINUTES", "1201", "the default is 960"],
    ["API_CALLS_PER_5_MINUTES", "many", "whole number"],
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
    ...["ADMIN_TOKEN", "VIEWER_TOKEN"].flatMap((name): [string, string, string][] => [
      [name, "a-token-with-a-line-end\n", `secret put ${name}`],
      [name, "a-token-with-a-windows-line-end\r\n", `secret put ${name}`],
      [name, " a-token-with-a-space-before", `secret put ${name}`],
      [name, "a token of several words", `secret put ${name}`],
      [name, '"a-token-with-quotes"', `secret put ${name}`],
      [name, "'a-token-with-quotes'", `secret put ${name}`],
      [name, "a-token-with-a-\u00fcmlaut", `secret put ${name}`],
      [name, "a-token-with-no-width\u200b", `secret put ${name}`],
    ]),
    ["ACCESS_AUD", "x", "audience tag"],
    ["ACCESS_AUD", `${"0".repeat(64)}\n`, "audience tag"],
    ["ACCESS_AUD", `"${"0".repeat(64)}"`, "audience tag"],
    ["ACCESS_ADMINS", '"ada@example.com"', "position 1"],
    ["ACCESS_ADMINS", "ada@example.com,bob", "position 2"],
    ["ACCESS_ADMINS", "ada@example.com bob@example.com", "commas"],
  ])("refuses %s = %j", (name, value, fix) => {
    expect(readAccessConfig({ [name]: value })).toMatchObject({
      ok: false,
      problems: [{ name, problem: expect.stringContaining(fix) }],
    });
  });

  it.each(["openssl-rand-hex-like-0123456789abcdef", "p@ssw0rd/with+signs=~{}[]|\\<>"])(
    "takes ADMIN_TOKEN = %s",
    (ADMIN_TOKEN) => {
      expect(readAccessConfig({ ADMIN_TOKEN })).toMatchObject({
        ok: true,
        value: { adminToken: ADMIN_TOKEN },
      });
    },
  );

  it("shows no value in a problem", () => {
    const read = readAccessConfig({ ADMIN_TOKEN: "se cret" });
    expect(JSON.stringify(read)).not.toContain("se cret");
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

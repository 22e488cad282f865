import {
  armor,
  Decrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { holdTheClock } from "../kit/run-driver.ts";
import worker from "../../../src/index.ts";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const ADMIN = "admin-token-for-tests";
const HOUR_MS = 3_600_000;
const account = () => env.ACCOUNT_COORDINATOR.getByName("emulated-account");

const viewSchema = z.strictObject({
  items: z.array(
    z.strictObject({
      recipient: z.string(),
      proven: z.boolean(),
      provenAt: z.string().nullable(),
      challenge: z.string(),
    }),
  ),
  how: z.string(),
});
type Item = z.infer<typeof viewSchema>["items"][number];

interface KeyPair {
  readonly identity: string;
  readonly recipient: string;
}

async function keyPair(make: () => Promise<string> = generateX25519Identity): Promise<KeyPair> {
  const identity = await make();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** The Worker as it is when these keys are its recipients. A request with a body is a POST. */
async function ask(keys: readonly KeyPair[], path: string, body?: string, token = ADMIN): Promise<Response> {
  const changed = { ...env, AGE_RECIPIENTS: keys.map(({ recipient }) => recipient).join(",") };
  const request = new Request<unknown, IncomingRequestCfProperties>(`http://worker.test${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: body ?? null,
  });
  return worker.fetch(request, changed, createExecutionContext());
}

async function items(...keys: KeyPair[]): Promise<Item[]> {
  const response = await ask(keys, "/api/key-proof");
  expect(response.status).toBe(200);
  return viewSchema.parse(await response.json()).items;
}

function send(keys: readonly KeyPair[], ...answers: string[]): Promise<Response> {
  return ask(keys, "/api/key-proof", JSON.stringify({ answers }));
}

/** What `age -d` prints. */
async function decrypt(challenge: string | undefined, { identity }: KeyPair): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return decrypter.decrypt(armor.decode(challenge ?? ""), "text");
}

async function unproven(...keys: KeyPair[]): Promise<string[]> {
  const body = z.object({ problems: z.array(z.object({ code: z.string(), detail: z.string() })) });
  const { problems } = body.parse(await (await ask(keys, "/api/health")).json());
  return problems.filter(({ code }) => code === "key-unproven").map(({ detail }) => detail);
}

describe("a challenge", () => {
  it.each([
    ["an X25519 key", generateX25519Identity],
    ["a post-quantum key", generateHybridIdentity],
  ])("for %s is decrypted by it and no other, and its text is the proof", async (_, make) => {
    const [key, other] = [await keyPair(make), await keyPair(make)];
    const [item] = await items(key);
    expect(item).toMatchObject({ recipient: key.recipient, proven: false, provenAt: null });
    expect(item?.challenge).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----\n/);
    await expect(decrypt(item?.challenge, other)).rejects.toThrow();
    expect(await unproven(key)).toEqual([expect.stringContaining(key.recipient)]);

    const response = await send([key], await decrypt(item?.challenge, key));
    expect(response.status).toBe(200);
    const [proven] = viewSchema.parse(await response.json()).items;
    expect(proven).toMatchObject({ proven: true, provenAt: new Date().toISOString() });
    expect(await unproven(key)).toEqual([]);
  });

  it("hides one line with 128 random bits, which differs from one to the next", async () => {
    const keys = [await keyPair(), await keyPair()];
    const lines = [];
    for (const [index, item] of (await items(...keys)).entries()) {
      lines.push(await decrypt(item.challenge, keys[index] ?? (await keyPair())));
    }
    for (const line of lines) expect(line).toMatch(/^d1-nightly-key-proof-[0-9a-f]{32}\n$/);
    expect(new Set(lines).size).toBe(2);
  });

  it("stays the same for a day, also for those who ask at once, and is then another one", async () => {
    const key = await keyPair();
    // Begun in the object itself, so that each is in the middle of encrypting when the next one begins.
    const atOnce = await runInDurableObject(account(), (object) =>
      Promise.all([1, 2, 3].map(() => object.keyProofs([key.recipient]))),
    );
    const challenge = (await items(key))[0]?.challenge;
    for (const proofs of atOnce) expect(proofs).toMatchObject({ ok: true, value: [{ challenge }] });
    vi.setSystemTime(Date.now() + 24 * HOUR_MS - 1);
    expect((await items(key))[0]?.challenge).toBe(challenge);
    vi.setSystemTime(Date.now() + 1);
    expect((await send([key], await decrypt(challenge, key))).status).toBe(400);
    const [next] = await items(key);
    expect(next?.challenge).not.toBe(challenge);
    expect(next?.proven).toBe(false);
    expect((await send([key], await decrypt(next?.challenge, key))).status).toBe(200);
  });

  it("leaves nothing in storage that answers it", async () => {
    const key = await keyPair();
    const line = (await decrypt((await items(key))[0]?.challenge, key)).trim();
    const stored = await runInDurableObject(account(), (_, state) =>
      JSON.stringify([
        state.storage.sql.exec("SELECT * FROM key_proof").toArray(),
        ...state.storage.kv.list(),
      ]),
    );
    expect(stored).toContain(key.recipient);
    expect(stored).not.toContain(line);
    expect(stored).not.toContain(line.slice(-32));
  });
});

describe("answers", () => {
  it("find their recipients themselves, in any order and with white space around", async () => {
    const keys = [await keyPair(), await keyPair(generateHybridIdentity)] as const;
    const [first, second] = await items(...keys);
    const answers = [
      await decrypt(second?.challenge, keys[1]),
      ` ${await decrypt(first?.challenge, keys[0])} \r\n`,
    ];
    expect((await send(keys, ...answers)).status).toBe(200);
    expect(await items(...keys)).toMatchObject([{ proven: true }, { proven: true }]);
  });

  it("that fit nothing are named by their position, and the right ones count", async () => {
    const keys = [await keyPair(), await keyPair()] as const;
    const [first] = await items(...keys);
    const right = await decrypt(first?.challenge, keys[0]);
    const response = await send(keys, "wrong", right, right.trim().slice(0, -1));
    expect(response.status).toBe(400);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({
      code: "answer-fits-no-challenge",
      detail: expect.stringMatching(/positions 1, 3 match no open challenge.*others are accepted/),
      hint: expect.stringContaining("GET /api/key-proof"),
      errors: [{ field: "answers.0" }, { field: "answers.2" }],
      items: [{ proven: true }, { proven: false }],
    });
    expect(text).not.toContain(right.trim());
    expect(await items(...keys)).toMatchObject([{ proven: true }, { proven: false }]);
  });

  it("sent twice change nothing the second time; the next challenge proves it anew", async () => {
    const key = await keyPair();
    const answer = await decrypt((await items(key))[0]?.challenge, key);
    await send([key], answer);
    const provenAt = new Date().toISOString();
    vi.setSystemTime(Date.now() + HOUR_MS);
    const again = await send([key], answer);
    expect(again.status).toBe(200);
    const [item] = viewSchema.parse(await again.json()).items;
    expect(item).toMatchObject({ proven: true, provenAt });
    expect((await send([key], await decrypt(item?.challenge, key))).status).toBe(200);
    expect((await items(key))[0]?.provenAt).toBe(new Date().toISOString());
  });

  it("that are a private key are refused without being repeated", async () => {
    const key = await keyPair();
    await items(key);
    const response = await send([key], key.identity);
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).toContain("Treat it as compromised");
    expect(text).not.toContain(key.identity);
  });

  it.each([
    ["{}", "answers"],
    ['{"answers":"x"}', "answers"],
    ['{"answers":[]}', "answers"],
    ['{"answers":[" "]}', "answers.0"],
    ['{"answers":[1]}', "answers.0"],
    ['{"answers":["x"],"more":1}', "more"],
  ])("as %s are malformed, and %s is named", async (body, field) => {
    const response = await ask([], "/api/key-proof", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "malformed", errors: [{ field }] });
  });
});

describe("recipients", () => {
  it("that left the configuration are forgotten, and have to be proven again when they are back", async () => {
    const [stays, leaves] = [await keyPair(), await keyPair()];
    const before = await items(stays, leaves);
    const answers = [await decrypt(before[0]?.challenge, stays), await decrypt(before[1]?.challenge, leaves)];
    await send([stays, leaves], ...answers);
    expect(await items(stays, leaves)).toMatchObject([{ proven: true }, { proven: true }]);
    expect(await items(stays)).toMatchObject([{ recipient: stays.recipient, proven: true }]);
    expect(await items(leaves, stays)).toMatchObject([{ proven: false, provenAt: null }, { proven: true }]);
  });

  it("that only health has seen leave are forgotten too", async () => {
    const key = await keyPair();
    await send([key], await decrypt((await items(key))[0]?.challenge, key));
    expect(await unproven(key)).toEqual([]);
    expect(await unproven()).toEqual([]);
    expect(await unproven(key)).toHaveLength(1);
  });

  it("that are none have nothing to prove", async () => {
    expect(await items()).toEqual([]);
    const response = await send([], "anything");
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ hint: expect.stringContaining("AGE_RECIPIENTS") });
  });
});

describe("who may", () => {
  it.each([
    ["GET", "viewer-token-for-tests", 200],
    ["POST", "viewer-token-for-tests", 403],
    ["GET", "nobody", 401],
    ["POST", "nobody", 401],
  ])("%s with %s → %d", async (method, token, status) => {
    const body = method === "POST" ? '{"answers":["x"]}' : undefined;
    expect((await ask([], "/api/key-proof", body, token)).status).toBe(status);
  });

  it("tells the command that decrypts", async () => {
    const { how } = viewSchema.parse(await (await ask([], "/api/key-proof")).json());
    expect(how).toContain("age -d -i key.txt challenge.age");
  });
});

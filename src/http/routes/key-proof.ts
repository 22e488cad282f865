import { Hono } from "hono";
import { z } from "zod";
import type { KeyProof } from "../../core/account/key-proof.ts";
import type { Platform } from "../../core/platform.ts";
import type { ApiEnv } from "../dependencies.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const answersBody = z.strictObject({
  answers: z
    .array(z.string().trim().min(1, "is empty").max(10_000, "is longer than 10000 characters"), {
      error: "must be a list of the decrypted texts",
    })
    .min(1, "is empty: send the text of one decrypted challenge or more")
    .max(100, "holds more than 100 answers"),
});

const HOW =
  'Save a recipient\'s challenge as challenge.age, decrypt it with `age -d -i key.txt challenge.age` (a key age1pq1… needs age 1.3 or later), and send the printed text: POST /api/key-proof with {"answers":["…"]}. A challenge is valid for 24 hours. There is always one, because you may repeat the proof.';

/** Proves that somebody still holds the private keys, before they are needed. */
export const keyProof = new Hono<ApiEnv>()
  .get("/key-proof", async (context) => {
    const { settings } = context.get("platform");
    const proofs = await context.env.accountRuns(settings.accountId).keyProofs(settings.recipients);
    return proofs.ok ? context.json(view(proofs.value)) : failureProblem(proofs.failure);
  })
  .post("/key-proof", async (context) => {
    const { settings } = context.get("platform");
    const body = await readBody(context, answersBody);
    if (!body.ok) return body.response;
    const { answers } = body.value;
    const account = context.env.accountRuns(settings.accountId);
    const proven = await account.proveKeys(settings.recipients, answers);
    if (!proven.ok) return failureProblem(proven.failure);
    const { items, refused } = proven.value;
    return refused.length === 0
      ? context.json(view(items))
      : notFitting(answers, refused, items, context.get("platform"));
  });

function view(items: KeyProof[]): { items: KeyProof[]; how: string } {
  return { items, how: HOW };
}

/** Reports only the positions: an answer may be a secret that was pasted by mistake. */
function notFitting(
  answers: readonly string[],
  refused: readonly number[],
  items: readonly KeyProof[],
  { settings }: Platform,
): Response {
  const privateKey = refused.some((position) => /AGE-SECRET-KEY/i.test(answers[position] ?? ""));
  const places = refused.map((position) => position + 1).join(", ");
  const one = refused.length === 1;
  const others = answers.length > refused.length ? " The others are accepted." : "";
  return problem({
    title: "No such challenge",
    status: 400,
    code: "answer-fits-no-challenge",
    detail: `The ${one ? "answer at position" : "answers at the positions"} ${places} ${one ? "matches" : "match"} no open challenge.${others}`,
    hint: privateKey
      ? "You sent a private key, which this Worker must never see. Treat it as compromised: make a new pair with `age-keygen`, and put its public key into AGE_RECIPIENTS."
      : settings.recipients.length === 0
        ? "AGE_RECIPIENTS is not set, so there is no key to prove."
        : "A challenge is valid for 24 hours. Get a new one with GET /api/key-proof, and send exactly the text that `age -d` prints.",
    errors: refused.map((position) => ({
      field: `answers.${position}`,
      problem: "matches no open challenge",
    })),
    items,
  });
}

import { failureOfStatus } from "../wire/envelope.ts";
import { findFault, type Fault } from "./fault-rule.ts";
import { DROP_CONNECTION, FRONT_HEADER } from "../wire/front-orders.ts";

const RETRY_AFTER_SECONDS = 2;

/**
 * Answers a request under the faults that can strike any operation. `slow` is left to operations that
 * take their time in another way.
 */
export async function answerUnderFaults(
  request: Request,
  faults: readonly Fault[],
  handlesSlow: boolean,
  effect: () => Promise<Response>,
): Promise<Response> {
  const slow = findFault(faults, "slow");
  if (slow !== undefined && !handlesSlow) await scheduler.wait(slow.value);
  if (findFault(faults, "drop") !== undefined) return dropped(request);
  const status = findFault(faults, "status");
  if (status !== undefined) {
    return failureOfStatus(status.value, RETRY_AFTER_SECONDS, status.code, status.message);
  }
  if (findFault(faults, "garbage") !== undefined) {
    return new Response("<<< this is not JSON", { headers: { "content-type": "application/json" } });
  }
  const answer = await effect();
  if (findFault(faults, "lose-answer") === undefined) return answer;
  await answer.body?.cancel();
  return new Response(
    "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>",
    {
      status: 502,
      headers: { "content-type": "text/html" },
    },
  );
}

/** Without a front, the nearest thing to a dropped connection is an exception: `fetch` rejects within one process. */
function dropped(request: Request): Response {
  if (!request.headers.has(FRONT_HEADER)) throw new Error("The emulator drops this connection (fault).");
  return new Response(null, { status: 500, headers: { [FRONT_HEADER]: DROP_CONNECTION } });
}

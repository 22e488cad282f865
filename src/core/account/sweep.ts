import type { RunView } from "../run/run-view.ts";

/** One request for a backup of every database. */
export interface SweepView {
  readonly id: string;
  readonly state: "listing" | "starting" | "done" | "failed";
  readonly trigger: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly databases: number;
  readonly started: number;
  readonly error: { code: string; detail: string; hint: string } | null;
}

export type SweepAnswer =
  | { readonly kind: "begun"; readonly sweep: SweepView; readonly runs: RunView[] }
  | { readonly kind: "under-way"; readonly sweep: SweepView };

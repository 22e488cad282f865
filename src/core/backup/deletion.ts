/** A backup whose deletion is not complete. */
export interface DeletionView {
  /** `refused`: by a lock rule of the bucket. It is tried again each day. */
  readonly state: "pending" | "refused";
  /** Why the latest try failed; null before the first. */
  readonly detail: string | null;
  readonly since: string;
}

/** The result of a request to delete a backup. */
export type DeletionAnswer =
  | { readonly kind: "deleted" }
  /** It continues automatically. */
  | { readonly kind: "begun"; readonly deletion: DeletionView }
  /** Nothing was deleted: a lock rule of the bucket, in the bucket's own words. */
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "pinned" }
  /** It is the only backup of its database, and nobody has confirmed its deletion. */
  | { readonly kind: "last" }
  | { readonly kind: "not-there" };

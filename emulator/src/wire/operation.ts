/** Everything that a client can ask for and that can be counted and made to fail. */
export const OPERATIONS = [
  "list",
  "get",
  "create",
  "delete",
  "query",
  "raw",
  "bookmark",
  "export.start",
  "export.poll",
  "import.init",
  "import.ingest",
  "import.poll",
  "upload",
  "download",
] as const;

export type Operation = (typeof OPERATIONS)[number];

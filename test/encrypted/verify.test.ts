import { everyDamageIsFound } from "../worker/damages.ts";

everyDamageIsFound("gzip", ".sql.gz.age");

import { everyDamageIsFound } from "../worker/kit/damages.ts";

everyDamageIsFound("gzip", ".sql.gz.age");

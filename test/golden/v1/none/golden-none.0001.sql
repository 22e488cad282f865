PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE IF NOT EXISTS "it's a table" (id INTEGER PRIMARY KEY, "a column" TEXT, amount REAL, raw BLOB, length INTEGER AS (length("a column")) STORED);
INSERT INTO "it's a table" ("id","a column","amount","raw") VALUES(1,'O''Hara said "no"; and left',0.5,X'00ff10');
INSERT INTO "it's a table" ("id","a column","amount","raw") VALUES(2,replace('two\nlines','\n',char(10)),-1929.25,X'000000');
INSERT INTO "it's a table" ("id","a column","amount","raw") VALUES(3,'größe 京都 🕊',NULL,NULL);
INSERT INTO "it's a table" ("id","a column","amount","raw") VALUES(9007199254740991,'',4,X'');
CREATE INDEX by_amount ON "it's a table" (amount) WHERE amount > 0;
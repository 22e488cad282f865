SELECT type, name, tbl_name, rtrim(sql, '; ' || char(10)) FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND sql IS NOT NULL ORDER BY type, name;
SELECT id, quote("a column"), typeof(amount), quote(amount), quote(raw), length FROM "it's a table" ORDER BY id;

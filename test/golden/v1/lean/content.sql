SELECT type, name, tbl_name, rtrim(sql, '; ' || char(10)) FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND sql IS NOT NULL ORDER BY type, name;
SELECT * FROM customers WHERE name IS NOT NULL ORDER BY id;
SELECT id, customer, gift FROM orders ORDER BY id;
SELECT count(*) FROM audit;
SELECT name, seq FROM sqlite_sequence;

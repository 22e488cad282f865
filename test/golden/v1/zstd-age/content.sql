SELECT type, name, tbl_name, rtrim(sql, '; ' || char(10)) FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND sql IS NOT NULL ORDER BY type, name;
SELECT count(*), sum(body = replace(hex(zeroblob(6000)), '00', printf('%06d ', id))), min(id), max(id) FROM pages;

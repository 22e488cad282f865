SELECT type, name, sql FROM sqlite_master WHERE name IN ('customers', 'audit') ORDER BY name;
SELECT id, code, coalesce(name, '') FROM customers ORDER BY id;
SELECT count(*) FROM audit;

-- What every table and view stands for. Functions by their full names, which no function of the file can take.
SELECT table_name AS name, 'table' AS kind, sql
FROM system.main.duckdb_tables()
WHERE database_name = system.main.current_database() AND schema_name = 'main' AND NOT internal
UNION ALL
SELECT view_name AS name, 'view' AS kind, sql
FROM system.main.duckdb_views()
WHERE database_name = system.main.current_database() AND schema_name = 'main' AND NOT internal

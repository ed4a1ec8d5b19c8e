-- The functions that a file defines. One by the name of a function of DuckDB's would be called in its place.
SELECT function_name
FROM system.main.duckdb_functions()
WHERE database_name = system.main.current_database() AND NOT internal

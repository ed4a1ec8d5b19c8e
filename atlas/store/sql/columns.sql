-- The type of every column of every table and then every view, in the schema's order.
SELECT table_name, column_name, data_type
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY table_oid, column_index

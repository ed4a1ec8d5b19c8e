-- The firings kept for display of a few experts, in the order in which they were written.
SELECT task, expert, "window", position, label, x, y, z, norm, importance
FROM points
WHERE expert IN (SELECT unnest($experts))
ORDER BY rowid;

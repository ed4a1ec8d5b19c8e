-- Of each labelled task the rows on which the printed scores are measured, and whether any row is text.
SELECT
    task,
    count(*) FILTER (report) AS report_rows,
    bool_or(len(tokens) > 0) AS has_text
FROM windows
WHERE label IS NOT NULL
GROUP BY task
ORDER BY task;

-- Sentences of each labelled task on which the printed scores are measured.
SELECT task, count(*)
FROM windows
WHERE report
GROUP BY task
ORDER BY task;

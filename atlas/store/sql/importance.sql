-- How important every expert is on each corpus and labelled task that it fires on, and how many rows that is measured on.
SELECT s.task, s.expert, s.importance, t.importance_tokens AS rows
FROM expert_stats AS s
JOIN tasks AS t ON t.task = s.task
WHERE s.firings > 0
UNION ALL
SELECT task, expert, importance, rows
FROM task_importance
ORDER BY expert, task;

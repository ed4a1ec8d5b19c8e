-- What the first page shows of every expert, most important first.
SELECT *
FROM expert_overview
ORDER BY importance DESC, expert;

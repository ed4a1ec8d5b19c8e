-- How many experts each class is given to on each source, and how many it would be by chance.
SELECT k.name AS source, k.title, c.class, c.experts, c.tested, c.expected
FROM shape_classes AS c
JOIN tasks AS k ON k.task = c.task
ORDER BY c.task, c.rowid;

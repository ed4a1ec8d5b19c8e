-- The experts of one class on one source, or on all: the smallest adjusted p of the statistic that the class rests on first, then
-- what stands out most from the null's median, in units of the limit's distance from it.
SELECT s.expert, t.title, k.name AS source, s.class, s.points, s.effective_dimension, s.local_dimension,
    loop.value AS loop, s.statistic, rests.p_adjusted
FROM shapes AS s
JOIN titles AS t ON t.expert = s.expert
JOIN tasks AS k ON k.task = s.task
LEFT JOIN shape_tests AS rests ON rests.task = s.task AND rests.expert = s.expert AND rests.statistic = s.statistic
LEFT JOIN shape_tests AS loop ON loop.task = s.task AND loop.expert = s.expert AND loop.statistic = 'loop'
WHERE s.class = $class
    AND ($source IS NULL OR k.name = $source)
ORDER BY rests.p_adjusted NULLS LAST,
    (rests.value - rests.null_median) / nullif(rests.null_limit - rests.null_median, 0) DESC NULLS LAST,
    s.task, s.expert
LIMIT $top;

-- The experts of one class on one source, or on all: the smallest adjusted p of the statistic that speaks for the class first, then
-- what stands out most from the null's median, in units of the limit's distance from it.
WITH tested AS (
    SELECT task, expert, statistic, p_adjusted,
        (value - null_median) / nullif(null_limit - null_median, 0) AS effect
    FROM shape_tests
    WHERE statistic IN (SELECT unnest($statistics))
), speaking AS (
    SELECT *
    FROM tested
    QUALIFY row_number() OVER (PARTITION BY task, expert ORDER BY p_adjusted, effect DESC NULLS LAST, statistic) = 1
)
SELECT s.expert, t.title, k.name AS source, s.class, s.points, s.effective_dimension, s.local_dimension,
    loop.value AS loop, speaking.statistic, speaking.p_adjusted
FROM shapes AS s
JOIN titles AS t ON t.expert = s.expert
JOIN tasks AS k ON k.task = s.task
LEFT JOIN speaking ON speaking.task = s.task AND speaking.expert = s.expert
LEFT JOIN shape_tests AS loop ON loop.task = s.task AND loop.expert = s.expert AND loop.statistic = 'loop'
WHERE s.class = $class
    AND ($source IS NULL OR k.name = $source)
ORDER BY speaking.p_adjusted NULLS LAST, speaking.effect DESC NULLS LAST, s.task, s.expert
LIMIT $top;

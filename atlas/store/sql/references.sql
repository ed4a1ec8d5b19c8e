-- What each hypothesis reaches without any expert, as the score on all rows, where it could be had.
SELECT task, hypothesis, reference, value
FROM baselines
WHERE metric = 'all_rows' AND value IS NOT NULL
ORDER BY task, hypothesis, reference;

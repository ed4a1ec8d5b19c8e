-- What each hypothesis reaches without any expert, as all-row R².
SELECT task, hypothesis, reference, value
FROM baselines
WHERE metric = 'all_rows'
ORDER BY task, hypothesis, reference;

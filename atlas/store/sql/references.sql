-- What each hypothesis reaches without any expert, as all-row R².
SELECT task, hypothesis, reference, value
FROM baselines
WHERE metric = 'r2_all'
ORDER BY task, hypothesis, reference;

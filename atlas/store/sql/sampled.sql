-- How often each expert fires on the token sample of the first corpus.
SELECT expert, count(*) AS firings
FROM token_sample_firings
WHERE task = 0
GROUP BY expert
ORDER BY expert;

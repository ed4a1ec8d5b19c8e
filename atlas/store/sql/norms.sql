-- What is said beside the norms of every expert that fires on a corpus.
SELECT task, expert, firings, rate, documents, norm_q10, norm_q50, norm_q90, norm_q99
FROM expert_stats
WHERE firings > 0
ORDER BY task, expert;

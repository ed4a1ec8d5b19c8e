-- What is said beside the norms of every expert that fires on a corpus, and how much of its importance few axes keep.
SELECT
    task,
    expert,
    firings,
    rate,
    documents,
    norm_q10,
    norm_q50,
    norm_q90,
    norm_q99,
    importance_kept,
    dimensions_needed
FROM expert_stats
WHERE firings > 0
ORDER BY task, expert;

-- The neighbours of every expert, of each kind, the nearest first; of those that fire together also on how many tokens.
SELECT n.expert, n.kind, n.neighbour, n.value, c.tokens
FROM expert_neighbours AS n
LEFT JOIN co_firing AS c
    ON n.kind = 'co_firing' AND c.task = 0 AND c.expert = n.expert AND c.rank = n.rank
ORDER BY n.kind, n.expert, n.rank;

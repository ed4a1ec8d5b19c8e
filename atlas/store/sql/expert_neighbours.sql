-- The strongest neighbours of one expert, of some kinds in the order they are given in.
SELECT n.kind, n.rank, n.neighbour, t.title, n.value
FROM expert_neighbours AS n
JOIN titles AS t ON t.expert = n.neighbour
WHERE n.expert = $expert
    AND n.kind IN (SELECT unnest($kinds))
    AND n.rank < $top
ORDER BY list_position($kinds, n.kind), n.rank;

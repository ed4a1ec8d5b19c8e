-- The first firings of each stratum that are shown as contexts, of every corpus and expert.
SELECT task, expert, stratum, "window", position, norm
FROM top_firings
WHERE rank < CASE stratum WHEN 'top' THEN $strongest ELSE $per_band END
ORDER BY task, expert, stratum, rank;

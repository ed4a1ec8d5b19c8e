-- The first firings of each stratum that are shown as contexts, of every corpus and expert, with how the expert fires around them.
SELECT task, expert, stratum, "window", position, norm, around
FROM top_firings
WHERE rank < CASE stratum WHEN 'top' THEN $strongest ELSE $per_band END
ORDER BY task, expert, stratum, rank;

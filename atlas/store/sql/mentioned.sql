-- The mentions in held-out documents that each task's scores on them rest on: of one place in equal windows only the first counts.
SELECT labelled, count(*) AS words, count(DISTINCT (task, document)) AS documents
FROM (
    SELECT labelled, task, document
    FROM mentions
    JOIN windows USING (task, "window")
    WHERE held_out
    QUALIFY row_number() OVER (PARTITION BY labelled, tokens, mentions.position ORDER BY task, mention) = 1
)
GROUP BY labelled
ORDER BY labelled;

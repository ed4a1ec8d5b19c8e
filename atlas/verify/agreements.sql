-- Rows of which two tables, or a table and the provenance, do not say the same. Before each query stands the table that a fault is
-- told of and what is wrong; it gives the `place`, what is `found` there, and what is `expected`.

-- provenance: a key that every atlas has is missing
SELECT name AS place, NULL AS found, 'a value' AS expected
FROM (VALUES ('schema_version'), ('model'), ('dictionary'), ('settings'), ('versions')) AS wanted (name)
ANTI JOIN provenance ON key = name;

-- experts: there are not as many rows as the provenance says
SELECT 'n_experts' AS place, (SELECT count(*) FROM experts) AS found, CAST(value ->> 'n_experts' AS BIGINT) AS expected
FROM provenance WHERE key = 'dictionary' AND (SELECT count(*) FROM experts) <> CAST(value ->> 'n_experts' AS BIGINT);

-- code_axes: there are not d_code axes of d_code numbers
SELECT 'expert ' || expert AS place, count(*) || ' axes of ' || max(len(code)) AS found, d || ' of ' || d AS expected
FROM code_axes, (SELECT CAST(value ->> 'd_code' AS BIGINT) AS d FROM provenance WHERE key = 'dictionary')
GROUP BY expert, d HAVING count(*) <> d OR min(len(code)) <> d OR max(len(code)) <> d;

-- code_axes: share is not the variance along the axis over that along all
SELECT 'expert ' || expert || ', axis ' || axis AS place, share AS found, wanted AS expected
FROM (SELECT *, coalesce(variance / nullif(sum(variance) OVER (PARTITION BY expert), 0), 0) AS wanted FROM code_axes)
WHERE abs(share - wanted) > 1e-6;

-- expert_stats: there is not one row for each expert on each corpus
SELECT 'task ' || t.task AS place, count(s.expert) AS found, (SELECT count(*) FROM experts) AS expected
FROM tasks AS t LEFT JOIN expert_stats AS s ON s.task = t.task WHERE t.kind = 'corpus'
GROUP BY t.task HAVING count(s.expert) <> (SELECT count(*) FROM experts);

-- expert_stats: rate is not firings / tokens
SELECT 'task ' || task || ', expert ' || expert AS place, rate AS found, firings / tokens AS expected
FROM expert_stats JOIN tasks USING (task) WHERE round(rate * tokens) <> firings;

-- expert_stats: silent is not whether it never fires on held-out tokens
SELECT 'task ' || task || ', expert ' || expert AS place, silent AS found, NOT silent AS expected
FROM expert_stats JOIN tasks USING (task)
WHERE silent <> (CASE WHEN held_out_tokens > 0 THEN held_out_firings ELSE firings END = 0);

-- expert_stats: a mean code or covariance has not as many numbers as d_code says
SELECT 'task ' || task || ', expert ' || expert AS place, len(mean_code) || ' and ' || len(code_covariance) AS found,
    d || ' and ' || (d * d) AS expected
FROM expert_stats, (SELECT CAST(value ->> 'd_code' AS BIGINT) AS d FROM provenance WHERE key = 'dictionary')
WHERE len(mean_code) <> d OR len(code_covariance) <> d * d;

-- expert_stats: importance_kept is not d_code + 1 shares, of which dimensions_needed is the first to reach 0.9
SELECT 'task ' || task || ', expert ' || expert AS place, dimensions_needed AS found,
    list_position(list_transform(importance_kept, lambda share: share >= 0.9), true) - 1 AS expected
FROM expert_stats, (SELECT CAST(value ->> 'd_code' AS BIGINT) AS d FROM provenance WHERE key = 'dictionary')
WHERE len(importance_kept) <> d + 1
    OR dimensions_needed <> list_position(list_transform(importance_kept, lambda share: share >= 0.9), true) - 1;

-- norm_histogram: the counts of its bins are not the firings of the expert
SELECT 'task ' || s.task || ', expert ' || s.expert AS place, coalesce(sum(h."count"), 0) AS found, s.firings AS expected
FROM expert_stats AS s LEFT JOIN norm_histogram AS h ON h.task = s.task AND h.expert = s.expert
WHERE (SELECT CAST(value ->> 'threshold' AS DOUBLE) > 0 FROM provenance WHERE key = 'dictionary')
GROUP BY s.task, s.expert, s.firings HAVING coalesce(sum(h."count"), 0) <> s.firings;

-- norm_histogram: lower is not where the bin begins: eight bins to a doubling, the first at the threshold
SELECT 'task ' || task || ', expert ' || expert || ', bin ' || bin AS place, lower AS found, t * pow(2, bin / 8) AS expected
FROM norm_histogram, (SELECT CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE abs(lower - t * pow(2, bin / 8)) > 1e-6 * lower;

-- position_rates: the firings at all places are not the firings of the expert
SELECT 'task ' || s.task || ', expert ' || s.expert AS place, coalesce(sum(p.firings), 0) AS found, s.firings AS expected
FROM expert_stats AS s LEFT JOIN position_rates AS p ON p.task = s.task AND p.expert = s.expert
GROUP BY s.task, s.expert, s.firings HAVING coalesce(sum(p.firings), 0) <> s.firings;

-- windows: there are not as many rows as the labelled task says
SELECT 'task ' || t.task AS place, count(w.task) AS found, t.rows AS expected
FROM tasks AS t LEFT JOIN windows AS w ON w.task = t.task WHERE t.kind = 'labelled'
GROUP BY t.task, t.rows HAVING count(w.task) <> t.rows;

-- windows: a token has no text in the vocabulary of the task
SELECT 'task ' || task || ', token ' || token AS place, 'no such row of vocabulary' AS found, NULL AS expected
FROM (SELECT DISTINCT task, unnest(tokens) AS token FROM windows EXCEPT SELECT task, token FROM vocabulary);

-- labels: rows is not how many windows have the label
SELECT 'task ' || l.task || ', label ' || l.label AS place, l.rows AS found, count(w.task) AS expected
FROM labels AS l LEFT JOIN windows AS w ON w.task = l.task AND w.label = l.label
GROUP BY l.task, l.label, l.rows HAVING count(w.task) <> l.rows;

-- points: the firing is outside of its window
SELECT 'task ' || p.task || ', expert ' || expert || ', window ' || p."window" AS place, p.position AS found,
    'below ' || len(tokens) AS expected
FROM points AS p JOIN windows AS w ON w.task = p.task AND w."window" = p."window"
WHERE len(tokens) > 0 AND p.position NOT BETWEEN 0 AND len(tokens) - 1;

-- points: the firing is not at the probed token, or not of the label, of its sentence
SELECT 'task ' || p.task || ', expert ' || expert || ', window ' || p."window" AS place,
    'position ' || p.position || ', label ' || coalesce(CAST(p.label AS VARCHAR), 'NULL') AS found,
    'position ' || w.position || ', label ' || w.label AS expected
FROM points AS p JOIN windows AS w ON w.task = p.task AND w."window" = p."window"
WHERE w.label IS NOT NULL AND (p.label IS DISTINCT FROM w.label OR p.position <> w.position);

-- points: the norm does not pass the threshold
SELECT 'task ' || task || ', expert ' || expert || ', window ' || "window" || ', position ' || position AS place, norm AS found,
    'above ' || t AS expected
FROM points, (SELECT CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE norm < t * (1 - 1e-6);

-- points: the norm is above the expert's largest on the corpus
SELECT 'task ' || p.task || ', expert ' || p.expert || ', window ' || "window" || ', position ' || position AS place, norm AS found,
    'at most ' || max_norm AS expected
FROM points AS p JOIN expert_stats AS s ON s.task = p.task AND s.expert = p.expert WHERE norm > max_norm * (1 + 1e-5);

-- points: an expert has more of them than firings on the corpus
SELECT 'task ' || s.task || ', expert ' || s.expert AS place, count(*) AS found, 'at most ' || firings AS expected
FROM points AS p JOIN expert_stats AS s ON s.task = p.task AND s.expert = p.expert
GROUP BY s.task, s.expert, firings HAVING count(*) > firings;

-- top_firings: the firing is outside of its window
SELECT 'task ' || f.task || ', expert ' || expert || ', ' || stratum || ' ' || rank AS place, f.position AS found,
    'below ' || len(tokens) AS expected
FROM top_firings AS f JOIN windows AS w ON w.task = f.task AND w."window" = f."window"
WHERE f.position NOT BETWEEN 0 AND len(tokens) - 1;

-- top_firings: the norm is not between the threshold and the expert's largest
SELECT 'task ' || f.task || ', expert ' || f.expert || ', ' || stratum || ' ' || rank AS place, norm AS found,
    'from ' || t || ' to ' || max_norm AS expected
FROM top_firings AS f JOIN expert_stats AS s ON s.task = f.task AND s.expert = f.expert,
    (SELECT CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE norm < t * (1 - 1e-6) OR norm > max_norm * (1 + 1e-5);

-- top_firings: the strongest do not stand in the order of their norms
SELECT 'task ' || task || ', expert ' || expert || ', top ' || rank AS place, norm AS found, 'at most ' || before AS expected
FROM (
    SELECT *, lag(norm) OVER (PARTITION BY task, expert ORDER BY rank) AS before FROM top_firings WHERE stratum = 'top'
) WHERE norm > before;

-- expert_tokens: the counts are more than the firings that they were counted on, or these more than there are
SELECT 'task ' || e.task || ', expert ' || e.expert AS place, sum(e."count") || ' of ' || max(sampled) AS found,
    'at most ' || firings AS expected
FROM expert_tokens AS e JOIN expert_stats AS s ON s.task = e.task AND s.expert = e.expert
GROUP BY e.task, e.expert, firings HAVING sum(e."count") > max(sampled) OR max(sampled) > firings OR min(sampled) <> max(sampled);

-- co_firing: both fire on more tokens than one of them does
SELECT 'task ' || c.task || ', expert ' || c.expert || ', neighbour ' || neighbour AS place, c.tokens AS found,
    'at most ' || least(a.firings, b.firings) AS expected
FROM co_firing AS c
JOIN expert_stats AS a ON a.task = c.task AND a.expert = c.expert
JOIN expert_stats AS b ON b.task = c.task AND b.expert = c.neighbour
WHERE c.tokens > least(a.firings, b.firings);

-- token_sample: the token is outside of its window
SELECT 'task ' || s.task || ', token ' || token AS place, s.position AS found, 'below ' || len(tokens) AS expected
FROM token_sample AS s JOIN windows AS w ON w.task = s.task AND w."window" = s."window"
WHERE s.position NOT BETWEEN 0 AND len(tokens) - 1;

-- token_sample_firings: a code has not d_code numbers, or a norm that does not pass the threshold
SELECT 'task ' || task || ', token ' || token || ', expert ' || expert AS place, code AS found,
    d || ' numbers, of norm above ' || t AS expected
FROM token_sample_firings,
    (SELECT CAST(value ->> 'd_code' AS BIGINT) AS d, CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE len(code) <> d OR sqrt(list_sum(list_transform(code, lambda one: CAST(one AS DOUBLE) * one))) < t * (1 - 1e-6);

-- mentions: the token is outside of its window
SELECT 'task ' || m.task || ', mention ' || mention AS place, m.position AS found, 'below ' || len(tokens) AS expected
FROM mentions AS m JOIN windows AS w ON w.task = m.task AND w."window" = m."window"
WHERE m.position NOT BETWEEN 0 AND len(tokens) - 1;

-- mention_firings: a code has not d_code numbers, or a norm that does not pass the threshold
SELECT 'task ' || task || ', mention ' || mention || ', expert ' || expert AS place, code AS found,
    d || ' numbers, of norm above ' || t AS expected
FROM mention_firings,
    (SELECT CAST(value ->> 'd_code' AS BIGINT) AS d, CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE len(code) <> d OR sqrt(list_sum(list_transform(code, lambda one: CAST(one AS DOUBLE) * one))) < t * (1 - 1e-6);

-- label_mentions: fewer mentions are counted than are kept
SELECT 'task ' || l.task || ', ' || l.labelled || ' ' || l.label AS place, l.mentions AS found, 'at least ' || count(*) AS expected
FROM label_mentions AS l JOIN mentions AS m ON m.task = l.task AND m.labelled = l.labelled AND m.label = l.label
GROUP BY l.task, l.labelled, l.label, l.mentions HAVING count(*) > l.mentions;

-- scores: the ranking score does not fall with the rank
SELECT 'task ' || task || ', hypothesis ' || hypothesis || ', expert ' || expert AS place, ranking AS found,
    'at most ' || before AS expected
FROM (SELECT *, lag(ranking) OVER (PARTITION BY task, hypothesis ORDER BY rank) AS before FROM scores) WHERE ranking > before;

-- scores: more labels are covered than the task has
SELECT 'task ' || task || ', hypothesis ' || hypothesis || ', expert ' || expert AS place, covered AS found, n AS expected
FROM scores JOIN (SELECT task, count(*) AS n FROM labels GROUP BY task) USING (task) WHERE covered > n;

-- task_stats: active_rows is not how many rows it fires on
SELECT 'task ' || s.task || ', expert ' || s.expert AS place, s.active_rows AS found, count(p.task) AS expected
FROM task_stats AS s LEFT JOIN points AS p ON p.task = s.task AND p.expert = s.expert
GROUP BY s.task, s.expert, s.active_rows HAVING count(p.task) <> s.active_rows;

-- task_stats: more labels are covered than the task has
SELECT 'task ' || task || ', expert ' || expert AS place, covered AS found, n AS expected
FROM task_stats JOIN (SELECT task, count(*) AS n FROM labels GROUP BY task) USING (task) WHERE covered > n;

-- label_stats: fires is not the share of the label's rows that it fires on
SELECT 'task ' || s.task || ', label ' || s.label || ', expert ' || s.expert AS place, fires AS found, fired / rows AS expected
FROM label_stats AS s JOIN labels AS l ON l.task = s.task AND l.label = s.label WHERE abs(fires - fired / rows) > 1e-9;

-- label_stats: it does not say what the points of the label do: how many, and their mean
SELECT 'task ' || task || ', label ' || label || ', expert ' || expert AS place,
    s.fired || ' at ' || printf('%.4g %.4g %.4g', s.x, s.y, s.z) AS found,
    p.n || ' at ' || printf('%.4g %.4g %.4g', p.x, p.y, p.z) AS expected
FROM label_stats AS s
FULL JOIN (
    SELECT task, label, expert, count(*) AS n, avg(x) AS x, avg(y) AS y, avg(z) AS z, max(greatest(abs(x), abs(y), abs(z))) AS far
    FROM points WHERE label IS NOT NULL GROUP BY ALL
) AS p USING (task, label, expert)
WHERE s.fired IS DISTINCT FROM p.n OR greatest(abs(s.x - p.x), abs(s.y - p.y), abs(s.z - p.z)) > 1e-5 * far + 1e-9;

-- task_importance: it is not the sum of its firings' importance over the rows
SELECT 'task ' || task || ', expert ' || expert AS place, i.importance AS found, p.total / i.rows AS expected
FROM task_importance AS i JOIN tasks AS t USING (task)
FULL JOIN (
    SELECT task, expert, sum(importance) AS total, sum(abs(importance)) AS size FROM points WHERE label IS NOT NULL GROUP BY ALL
) AS p USING (task, expert)
WHERE i.rows IS DISTINCT FROM t.rows OR abs(i.importance - p.total / i.rows) > 1e-5 * p.size / i.rows + 1e-12;

-- shape_classes: the counts are not those of the table shapes
SELECT 'task ' || c.task || ', ' || c.class AS place, c.experts || ' of ' || c.tested AS found,
    count(s.task) FILTER (s.class = c.class) || ' of ' || count(s.class) AS expected
FROM shape_classes AS c LEFT JOIN shapes AS s ON s.task = c.task GROUP BY c.task, c.class, c.experts, c.tested
HAVING c.experts <> count(s.task) FILTER (s.class = c.class) OR c.tested <> count(s.class);

-- overview_clusters: it has not as many experts as the map shows in it
SELECT 'cluster ' || c.cluster AS place, c.experts AS found, count(o.cluster) AS expected
FROM overview_clusters AS c LEFT JOIN overview AS o ON o.cluster = c.cluster
GROUP BY c.cluster, c.experts HAVING count(o.cluster) <> c.experts;

-- titles: it claims an order that no score supports
SELECT 'expert ' || t.expert AS place, t.title AS found, NULL AS expected
FROM titles AS t ANTI JOIN (SELECT * FROM scores WHERE order_supported) AS s ON s.task = t.task AND s.expert = t.expert
WHERE t.basis = 'order';

-- titles: the number of an order is no score of its expert on the task
SELECT 'expert ' || t.expert AS place, t.value AS found, NULL AS expected
FROM titles AS t ANTI JOIN scores AS s ON s.task = t.task AND s.expert = t.expert AND abs(s.all_rows - t.value) < 1e-9
WHERE t.basis = 'order';

-- prompt_norms: there is not one norm for each token of the prompt
SELECT 'prompt ' || n.prompt || ', expert ' || n.expert AS place, len(n.norms) AS found, t.n AS expected
FROM prompt_norms AS n JOIN (SELECT prompt, count(*) AS n FROM prompt_tokens GROUP BY prompt) AS t USING (prompt)
WHERE len(n.norms) <> t.n;

-- prompt_norms: no norm reaches half of the threshold
SELECT 'prompt ' || prompt || ', expert ' || expert AS place, list_max(norms) AS found, 'at least ' || t / 2 AS expected
FROM prompt_norms, (SELECT CAST(value ->> 'threshold' AS DOUBLE) AS t FROM provenance WHERE key = 'dictionary')
WHERE list_max(norms) < t / 2 * (1 - 1e-6);

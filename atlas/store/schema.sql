-- The atlas database, one row per thing, in the order in which it is read. Every table is written by one stage;
-- tables that hold tasks take their rows from harvest for corpora and from probe for labelled data.
-- Coordinates (x, y, z) are in the model's own residual-stream units; codes and norms are as the gate sees them, in units of the
-- rescaled bottleneck, and comparable within an expert only.

-- Everything that determines the result: hashes, model, hook, corpora, seeds, settings, versions, threshold.
CREATE TABLE provenance (
    key   VARCHAR NOT NULL,
    value VARCHAR NOT NULL      -- JSON
);

-- What does not determine it: durations, times, host, command lines. Left out of comparisons and of the site.
CREATE TABLE run_log (
    stage VARCHAR NOT NULL,
    key   VARCHAR NOT NULL,
    value VARCHAR NOT NULL      -- JSON
);

-- One row: an expert of the dictionary.
CREATE TABLE experts (
    expert       INTEGER NOT NULL,
    decoder_norm DOUBLE NOT NULL,   -- Frobenius norm of its decoder
    encoder_norm DOUBLE NOT NULL    -- Frobenius norm of its encoder columns
);

-- One row: a corpus or a labelled data set that points come from.
CREATE TABLE tasks (
    task            INTEGER NOT NULL,   -- corpora come first, from 0; task 0 is the one that the first page is about
    name            VARCHAR NOT NULL,   -- 'months'
    title           VARCHAR NOT NULL,   -- 'Months'
    kind            VARCHAR NOT NULL,   -- 'corpus' or 'labelled'
    family          VARCHAR NOT NULL,   -- tasks of one family are not told apart by a title: 'calendar', 'number'
    description     VARCHAR NOT NULL,
    cyclic          BOOLEAN NOT NULL,   -- the labels close a cycle
    tokens          BIGINT NOT NULL,    -- tokens run through the dictionary, special tokens not counted
    held_out_tokens BIGINT NOT NULL,    -- of these, in documents the dictionary was not trained on
    importance_tokens BIGINT NOT NULL,  -- corpus: tokens that importance and FVU are measured on: held-out ones, of chunks chosen by a hash; if none is held out, any
    documents       BIGINT NOT NULL,    -- corpus: documents with at least one token; labelled: sentences
    rows            BIGINT NOT NULL,    -- corpus: tokens; labelled: sentences
    templates       INTEGER NOT NULL,   -- labelled: sentence templates; corpus: 0
    dropped         BIGINT NOT NULL,    -- labelled: sentences whose label would have been cut off
    needs           VARCHAR NOT NULL    -- what it needs of a language model, in a sentence; empty where any will do
);

-- One row: what this atlas lacks, and why: a task that the model cannot give what it needs, rows of a user's data, mentions too few.
CREATE TABLE absences (
    name   VARCHAR NOT NULL,    -- of the labelled task: 'newline_80'
    title  VARCHAR NOT NULL,
    what   VARCHAR NOT NULL,    -- 'task': all of it; 'rows': some of its data; 'mentions': its natural mentions; 'assumed': nothing, but how its data were read
    reason VARCHAR NOT NULL     -- a sentence
);

-- One row: a label of a labelled task, in the task's own order.
CREATE TABLE labels (
    task                 INTEGER NOT NULL,
    label                INTEGER NOT NULL,  -- from 0, in order
    name                 VARCHAR NOT NULL,  -- 'September'
    value                DOUBLE NOT NULL,   -- place on the task's own axis (a number, a year, an index)
    colour               VARCHAR,           -- '#rrggbb'; NULL where the page chooses
    rows                 BIGINT NOT NULL,   -- sentences
    training_occurrences BIGINT             -- times its token occurs in the training text, in any sense; NULL where that is not known, or the label is several tokens
);

-- One row: a named target that a task's probes are fitted to.
CREATE TABLE hypotheses (
    task        INTEGER NOT NULL,
    hypothesis  INTEGER NOT NULL,
    name        VARCHAR NOT NULL,       -- 'cyc_12m'
    title       VARCHAR NOT NULL,       -- '12-month ring'
    shape       VARCHAR NOT NULL,       -- 'ring' or 'ordinal': what a supported order is called; 'map': a place in a space of several numbers; 'classes'
    probe       VARCHAR NOT NULL,       -- 'linear', 'ridge', 'logistic', 'multinomial'
    measure     VARCHAR NOT NULL,       -- what its scores are: 'R²', of classes 'balanced accuracy'
    description VARCHAR NOT NULL,       -- how the targets follow from the label
    targets     DOUBLE[][] NOT NULL,    -- label, target; of classes the class; empty where the target is not a function of the label
    classes     VARCHAR[] NOT NULL,     -- names of the classes
    chance      DOUBLE NOT NULL,        -- what tight clusters at random places reach on average: d_code / (labels - 1) for R², by simulation for classes
    p_smallest  DOUBLE,                 -- the smallest adjusted p over experts; NULL where none is testable
    q           DOUBLE,                 -- Benjamini-Hochberg over all hypotheses of this atlas
    testable    INTEGER NOT NULL        -- experts in the family that p is adjusted over
);

-- One row: a run of consecutive tokens as the language model saw it, the special tokens around it
-- left out; such as the text spells out are in it, as context.
CREATE TABLE windows (
    task     INTEGER NOT NULL,
    "window" INTEGER NOT NULL,          -- from 0 within its task
    document BIGINT NOT NULL,           -- corpus: ordinal of the document; labelled: the sentence
    ordinal  INTEGER NOT NULL,          -- which window of its document
    tokens   INTEGER[] NOT NULL,        -- token ids
    position INTEGER,                   -- labelled: index into tokens of the probed token
    label    INTEGER,                   -- labelled only
    template INTEGER,                   -- labelled only
    report   BOOLEAN                    -- labelled only: its template belongs to the report set
);

-- One row: the text of a token id, with its leading space.
CREATE TABLE vocabulary (
    task   INTEGER NOT NULL,
    token  INTEGER NOT NULL,
    text   VARCHAR NOT NULL,
    count  BIGINT NOT NULL              -- corpus: exact occurrences in it; labelled: in its sentences
);

-- One row: what an expert did on a corpus.
CREATE TABLE expert_stats (
    task              INTEGER NOT NULL,
    expert            INTEGER NOT NULL,
    firings           BIGINT NOT NULL,  -- tokens it fired on
    held_out_firings  BIGINT NOT NULL,  -- of these, in held-out documents
    rate              DOUBLE NOT NULL,  -- firings / tokens
    documents         BIGINT NOT NULL,  -- documents that it fired in
    importance        DOUBLE NOT NULL,  -- ΔFVU on tasks.importance_tokens: how much worse the reconstruction gets without it; 0 for all where these have no variance
    mean_norm         DOUBLE,           -- mean norm where it fires; this and what follows is NULL where it never does
    max_norm          DOUBLE,
    norm_q10          DOUBLE,           -- quantiles of the norm where it fires, from norm_histogram, log-linear within a bin
    norm_q25          DOUBLE,
    norm_q50          DOUBLE,
    norm_q75          DOUBLE,
    norm_q90          DOUBLE,
    norm_q99          DOUBLE,
    mean_code         DOUBLE[],         -- d_code numbers, over its firings
    code_covariance   DOUBLE[],         -- d_code² numbers, row by row, about mean_code
    importance_kept   DOUBLE[],         -- d_code + 1 numbers: the share of importance that the mean contribution keeps, then with 1, 2, … of its principal axes; NULL where importance is not above 0
    dimensions_needed INTEGER,          -- fewest axes beside the mean that keep 90 % of importance; NULL where importance_kept is
    silent            BOOLEAN NOT NULL, -- no firing on held-out tokens; on any, if none is held out
    dense             BOOLEAN NOT NULL  -- rate above 0.1
);

-- One row: a firing kept for display, in expert order. Corpus: a uniform sample. Labelled: every firing at a probed token.
CREATE TABLE points (
    task     INTEGER NOT NULL,
    expert   INTEGER NOT NULL,
    "window" INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- index into the window's tokens
    label    INTEGER,                   -- labelled only
    x        FLOAT NOT NULL,            -- contribution on the expert's principal axes
    y        FLOAT NOT NULL,
    z        FLOAT NOT NULL,
    norm     FLOAT NOT NULL,            -- norm of the code
    importance FLOAT                    -- of this firing, over the mean of ‖x - x̄‖²: an expert's importance is the sum over its firings ÷ rows; NULL where not measured
);

-- One row: a firing kept as evidence. Stratum 'top': the strongest, one per window content, no two with overlapping spans of one
-- document. 'q75', 'q50', 'q25', 'q0': a quarter of the uniform sample by norm, named after the quantile that it begins at, in the
-- order of the hash, which is as good as random; none below four sampled firings.
CREATE TABLE top_firings (
    task     INTEGER NOT NULL,
    expert   INTEGER NOT NULL,
    stratum  VARCHAR NOT NULL,
    rank     INTEGER NOT NULL,          -- from 0 within its stratum
    "window" INTEGER NOT NULL,
    position INTEGER NOT NULL,
    norm     FLOAT NOT NULL,
    around   UTINYINT[] NOT NULL        -- 24 numbers: how the expert fires on the 12 tokens before and the 12 after: 0 not, 1 with less than half of this norm, 2 with less than it, 3 with at least it; 0 beyond the window
);

-- One row: a token that an expert fires on, by its share of the divergence from the corpus, largest first.
CREATE TABLE expert_tokens (
    task    INTEGER NOT NULL,
    expert  INTEGER NOT NULL,
    rank    INTEGER NOT NULL,           -- from 0
    token   INTEGER NOT NULL,
    count   INTEGER NOT NULL,           -- among the sampled firings
    sampled INTEGER NOT NULL,           -- firings of the expert that tokens are counted on, at most 4,000, chosen by a hash
    share   DOUBLE NOT NULL,            -- count / sampled
    share_low  DOUBLE NOT NULL,         -- its 95 % interval (Wilson)
    share_high DOUBLE NOT NULL,
    lift    DOUBLE NOT NULL             -- smoothed share over the token's base rate
);

-- One row: a bin of an expert's norms; bins are logarithmic from the threshold up, eight to a doubling, empty ones left out.
CREATE TABLE norm_histogram (
    task   INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    bin    INTEGER NOT NULL,
    lower  DOUBLE NOT NULL,             -- smallest norm in the bin
    count  BIGINT NOT NULL
);

-- One row: how often an expert fires at a place in the window; places in ranges that double (0, 1, 2-3, 4-7, …).
CREATE TABLE position_rates (
    task    INTEGER NOT NULL,
    expert  INTEGER NOT NULL,
    lower   INTEGER NOT NULL,           -- first position of the range, the special tokens around a window not counted
    upper   INTEGER NOT NULL,           -- last one
    firings BIGINT NOT NULL,
    rate    DOUBLE NOT NULL             -- firings / tokens at these positions
);

-- One row: an expert that fires on the same tokens as another, the strongest neighbours first. Dense experts are left out.
-- Counts are exact over the corpus up to 16,384 experts, over the token sample above (provenance: corpora, co_firing).
CREATE TABLE co_firing (
    task      INTEGER NOT NULL,
    expert    INTEGER NOT NULL,
    rank      INTEGER NOT NULL,         -- from 0, by log_odds
    neighbour INTEGER NOT NULL,
    tokens    BIGINT NOT NULL,          -- on which both fire
    log_odds  DOUBLE NOT NULL           -- log odds ratio of firing together, held back by 5 tokens' worth of independence
);

-- One row: a token chosen by a hash of its place alone, without regard to experts.
CREATE TABLE token_sample (
    task     INTEGER NOT NULL,
    token    INTEGER NOT NULL,          -- from 0 within its task
    "window" INTEGER NOT NULL,
    position INTEGER NOT NULL,
    held_out BOOLEAN NOT NULL
);

-- One row: a firing on a token of the sample; all of them are here.
CREATE TABLE token_sample_firings (
    task   INTEGER NOT NULL,
    token  INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    code   FLOAT[] NOT NULL
);

-- One row: a label of a labelled task, as the corpus mentions it by itself (a whole word, spelled as the label is).
CREATE TABLE label_mentions (
    task      INTEGER NOT NULL,         -- of the corpus
    labelled  VARCHAR NOT NULL,         -- name of the labelled task: 'months'
    label     INTEGER NOT NULL,         -- from 0, in order
    name      VARCHAR NOT NULL,         -- 'September'
    mentions  BIGINT NOT NULL,          -- exact
    held_out  BIGINT NOT NULL,          -- of these, in held-out documents
    documents BIGINT NOT NULL           -- that mention it
);

-- One row: a mention, at most 100 of a label, chosen by a hash of its place; held-out ones come first.
CREATE TABLE mentions (
    task     INTEGER NOT NULL,
    mention  INTEGER NOT NULL,          -- from 0 within its task
    labelled VARCHAR NOT NULL,
    label    INTEGER NOT NULL,
    "window" INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- of the token that the label ends in
    held_out BOOLEAN NOT NULL
);

-- One row: a firing on the token of a mention; all of them are here.
CREATE TABLE mention_firings (
    task    INTEGER NOT NULL,
    mention INTEGER NOT NULL,
    expert  INTEGER NOT NULL,
    code    FLOAT[] NOT NULL
);

-- One row: how well a hypothesis can be read from an expert: R², of classes balanced accuracy (hypotheses.measure). Experts are
-- ranked on the ranking templates; all_rows and what follows is from the report templates, which had no part in the ranking.
CREATE TABLE scores (
    task              INTEGER NOT NULL,
    hypothesis        INTEGER NOT NULL,
    expert            INTEGER NOT NULL,
    rank              INTEGER NOT NULL, -- from 0, by ranking
    ranking           DOUBLE NOT NULL,  -- on all ranking rows, cross-validated over their groups
    all_rows          DOUBLE NOT NULL,  -- on all report rows
    all_rows_low      DOUBLE NOT NULL,  -- its 95 % interval, bootstrap over report templates
    all_rows_high     DOUBLE NOT NULL,
    where_it_fires    DOUBLE,           -- the same on active report rows only; NULL below 2 rows, and where their targets are all the same
    n_where_it_fires  BIGINT NOT NULL,  -- active report rows
    left_out_label    DOUBLE,           -- each label read by a fit without it; NULL for classes of one label each
    left_out_direction DOUBLE,          -- the same for that direction of several targets which is read worst; NULL for classes
    covered           INTEGER NOT NULL, -- coverage: labels it fires on in at least half their rows
    covered_least     DOUBLE,           -- the smallest such rate; NULL where covered is 0
    active_rows       BIGINT NOT NULL,
    testable          BOOLEAN NOT NULL, -- at least 50 active rows and 3 labels of at least 5
    p_order           DOUBLE,           -- label-order null; NULL where not testable, or where the target is not a function of the label
    p_order_adjusted  DOUBLE,           -- max-T over the testable experts
    p_within_halves   DOUBLE,           -- labels permuted within the two halves that the expert tells apart; NULL below 7 labels, and where the order is not supported without it
    order_supported   BOOLEAN NOT NULL  -- at least 6 labels covered, p_order_adjusted and the hypothesis' q ≤ 0.05, left_out_label, left_out_direction and all_rows_low > 0, p_within_halves not above 0.05; never for classes
);

-- One row: the same on natural mentions: words of held-out corpus text that are spelled as a label; documents in place of templates.
CREATE TABLE mention_scores (
    task              INTEGER NOT NULL, -- the labelled task
    hypothesis        INTEGER NOT NULL,
    expert            INTEGER NOT NULL,
    rank              INTEGER NOT NULL,
    ranking           DOUBLE NOT NULL,  -- on all ranking rows, cross-validated over their groups
    all_rows          DOUBLE NOT NULL,  -- on all report rows
    all_rows_low      DOUBLE NOT NULL,  -- its 95 % interval, bootstrap over report documents
    all_rows_high     DOUBLE NOT NULL,
    where_it_fires    DOUBLE,           -- the same on active report rows only; NULL below 2 rows, and where their targets are all the same
    n_where_it_fires  BIGINT NOT NULL,  -- active report rows
    left_out_label    DOUBLE,           -- each label read by a fit without it; NULL for classes of one label each
    left_out_direction DOUBLE,          -- the same for that direction of several targets which is read worst; NULL for classes
    covered           INTEGER NOT NULL, -- coverage: labels it fires on in at least half their rows
    covered_least     DOUBLE,           -- the smallest such rate; NULL where covered is 0
    active_rows       BIGINT NOT NULL,
    testable          BOOLEAN NOT NULL, -- at least 50 active rows and 3 labels of at least 5
    p_order           DOUBLE,           -- label-order null; NULL where not testable, or where the target is not a function of the label
    p_order_adjusted  DOUBLE,           -- max-T over the testable experts
    p_within_halves   DOUBLE,           -- labels permuted within the two halves that the expert tells apart; NULL below 7 labels, and where the order is not supported without it
    order_supported   BOOLEAN NOT NULL  -- at least 6 labels covered, p_order_adjusted and the hypothesis' q ≤ 0.05, left_out_label, left_out_direction and all_rows_low > 0, p_within_halves not above 0.05; never for classes
);

-- One row: the mentions that a task's mention_scores rest on.
CREATE TABLE mention_sets (
    task             INTEGER NOT NULL,  -- the labelled task
    words            BIGINT NOT NULL,   -- of one place in windows of equal tokens only the first counts
    documents        BIGINT NOT NULL,
    report_words     BIGINT NOT NULL,   -- of these, in the report set: all_rows and what follows it is measured on them
    report_documents BIGINT NOT NULL
);

-- One row: what a hypothesis reaches without any expert, on the same rows and folds.
CREATE TABLE baselines (
    task       INTEGER NOT NULL,
    hypothesis INTEGER NOT NULL,
    reference  VARCHAR NOT NULL,        -- 'chance', 'random_projection', 'top_components', 'word_embedding'
    metric     VARCHAR NOT NULL,        -- 'all_rows' or 'left_out_label'
    value      DOUBLE
);

-- One row: an expert on a labelled task as a whole, where it fires on at least 50 of its rows.
CREATE TABLE task_stats (
    task            INTEGER NOT NULL,
    expert          INTEGER NOT NULL,
    active_rows     BIGINT NOT NULL,
    lift            DOUBLE NOT NULL,    -- smoothed P(fires | the task's rows) over the corpus firing rate
    covered         INTEGER NOT NULL,   -- coverage, as in scores
    covered_least   DOUBLE,
    p_label         DOUBLE NOT NULL,    -- rows permuted within templates: the codes depend on the label at all. At its floor for nearly all
    preference_band DOUBLE NOT NULL     -- 95th percentile, under permutation, of the largest |preference - ½| over labels
);

-- One row: an expert on a label, where it fires on at least one of its rows.
CREATE TABLE label_stats (
    task   INTEGER NOT NULL,
    label  INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    fired  INTEGER NOT NULL,            -- rows of the label it fires on
    fires  DOUBLE NOT NULL,             -- P(fires | label)
    lift   DOUBLE NOT NULL,             -- smoothed fires over the corpus firing rate
    preference DOUBLE NOT NULL,         -- AUROC of the norm (silent 0) for the label against all other rows; ½ is none
    x      FLOAT NOT NULL,              -- mean contribution over those rows
    y      FLOAT NOT NULL,
    z      FLOAT NOT NULL
);

-- One row: how much worse a labelled task's rows are rebuilt without an expert, where it fires on at least one of them.
CREATE TABLE task_importance (
    task       INTEGER NOT NULL,
    expert     INTEGER NOT NULL,
    rows       BIGINT NOT NULL,     -- of the task, all of which it is measured on
    importance DOUBLE NOT NULL      -- ΔFVU on them; 0 for all where they have no variance
);

-- One row: a step of the greedy search for experts that read a hypothesis jointly; chosen on ranking templates, at most four.
CREATE TABLE shattered (
    task       INTEGER NOT NULL,
    hypothesis INTEGER NOT NULL,
    step       INTEGER NOT NULL,        -- from 0: the best expert alone
    expert     INTEGER NOT NULL,        -- that joins at this step
    ranking    DOUBLE NOT NULL,         -- of all so far jointly, as in scores
    all_rows   DOUBLE NOT NULL,
    all_rows_low  DOUBLE NOT NULL,
    all_rows_high DOUBLE NOT NULL,
    added      DOUBLE NOT NULL,         -- to all_rows, by this expert
    listed     BOOLEAN NOT NULL         -- belongs to a group of at least two of which each adds ≥ 0.05 and has p_order_adjusted ≤ 0.05
);

-- One row: how an expert goes with the characters since the last newline, over all tokens of reflowed text, zeros where silent.
CREATE TABLE newline_scores (
    task               INTEGER NOT NULL,
    expert             INTEGER NOT NULL,
    rank               INTEGER NOT NULL,    -- from 0, by held_out_gain
    rate               DOUBLE NOT NULL,     -- tokens it fires on
    encode_linear_r2   DOUBLE NOT NULL,     -- in-sample, mean over coordinates of R²(coordinate ~ 1, c), as the reference has it
    encode_periodic_r2 DOUBLE NOT NULL,     -- the same with sine and cosine of 2π·h·c / width, h = 1, 2, 3, beside c
    periodic_gain      DOUBLE NOT NULL,     -- their difference; never below 0
    decode_r2          DOUBLE NOT NULL,     -- R²(c ~ 1, coordinates)
    held_out_linear_r2   DOUBLE NOT NULL,   -- fitted on half of the documents, measured on the others, both ways, mean
    held_out_periodic_r2 DOUBLE NOT NULL,
    held_out_gain        DOUBLE NOT NULL,
    held_out_decode_r2   DOUBLE NOT NULL
);

-- One row: an expert by the reference's protocol (atlas probe --protocol reference), where it fires on a tenth of the rows.
CREATE TABLE reference_experts (
    task            INTEGER NOT NULL,
    expert          INTEGER NOT NULL,
    rank            INTEGER NOT NULL,   -- from 0, by fisher: the reference probes those below 50
    rows            INTEGER NOT NULL,   -- active rows used, at most 1,000
    fisher          DOUBLE NOT NULL,    -- tr(S_W⁻¹ S_B)
    adjusted_fisher DOUBLE NOT NULL,    -- times the share of labels that are present
    continuity      DOUBLE              -- mean cosine similarity of a row's activation and its 10 nearest neighbours' by code
);

-- One row: a hypothesis on an expert by the reference's protocol: active rows only, five contiguous folds.
CREATE TABLE reference_scores (
    task       INTEGER NOT NULL,
    hypothesis INTEGER NOT NULL,
    expert     INTEGER NOT NULL,
    mean       DOUBLE,                  -- over folds: R², balanced accuracy (logistic) or macro F1 (multinomial); NULL where it cannot be fitted
    deviation  DOUBLE                   -- population standard deviation over folds
);

-- One row: an axis that an expert's contributions are measured along, widest first; x, y, z of points are the first three.
CREATE TABLE code_axes (
    expert   INTEGER NOT NULL,
    axis     INTEGER NOT NULL,          -- from 0
    code     DOUBLE[] NOT NULL,         -- d_code numbers: a code's place on the axis is their inner product
    variance DOUBLE NOT NULL,           -- of the sampled contributions along it; 0 without firings
    share    DOUBLE NOT NULL            -- of the variance along all axes; 0 where there is none
);

-- One row: what the cloud of an expert's contributions looks like on one source: a corpus, or a labelled task it fires on at least
-- half the labels of. Silent experts have none.
CREATE TABLE shapes (
    task     INTEGER NOT NULL,
    expert   INTEGER NOT NULL,
    points   INTEGER NOT NULL,          -- firings it rests on: of a corpus sampled ones, one on each token; of a task at most 1,000, one of each label from 50 labels on
    class    VARCHAR,                   -- 'line or ray', 'curve', 'ring', 'sheet', 'clusters', 'unclear'; NULL where none can be told
    absent   VARCHAR,                   -- why not, in a sentence; what follows is NULL then
    statistic VARCHAR,                  -- the one of its shape_tests that the class rests on; NULL of 'unclear', and of a line where d_code is 1
    spectrum DOUBLE[],                  -- shares of variance along the cloud's own principal axes, widest first
    effective_dimension DOUBLE,         -- (Σλ)² / Σλ² over the spectrum
    rms      DOUBLE,                    -- root mean square distance from the mean, residual-stream units
    local_dimension DOUBLE,             -- the same ratio within neighbourhoods, mean over them
    local_radius    DOUBLE,             -- of these neighbourhoods, in units of rms
    loops    INTEGER,                   -- loops that stand out from the null's
    clusters INTEGER                    -- separate parts that stand out from the null's; 1 where none do
);

-- One row: a statistic of a cloud beside what gated Gaussian clouds of like size, mean and covariance give.
CREATE TABLE shape_tests (
    task       INTEGER NOT NULL,
    expert     INTEGER NOT NULL,
    statistic  VARCHAR NOT NULL,        -- 'loop', 'gap', 'local_dimension', 'bend', 'thickness', 'flatness': see docs/measures.md
    value      DOUBLE NOT NULL,
    null_median DOUBLE NOT NULL,
    null_limit DOUBLE NOT NULL,         -- 95 % of the null's draws do not go beyond
    p          DOUBLE NOT NULL,
    p_adjusted DOUBLE NOT NULL          -- over the experts that have a shape of this task
);

-- One row: how many experts a class is given to on a source, and how many it would be if there were nothing to see.
CREATE TABLE shape_classes (
    task     INTEGER NOT NULL,
    class    VARCHAR NOT NULL,
    experts  INTEGER NOT NULL,          -- that are called so
    tested   INTEGER NOT NULL,          -- that have a class
    expected DOUBLE NOT NULL            -- that would be called so if every cloud were a gated Gaussian
);

-- One row: an expert that is near another in one of three ways, the nearest first. A fourth, firing together, is in co_firing; the
-- view expert_neighbours has all of them.
CREATE TABLE neighbours (
    expert    INTEGER NOT NULL,
    kind      VARCHAR NOT NULL,         -- 'output': what they write overlaps; 'encoder': what they read; 'context': the words around their firings
    rank      INTEGER NOT NULL,         -- from 0
    neighbour INTEGER NOT NULL,
    value     DOUBLE NOT NULL           -- from 0 to 1
);

-- One row: an expert's place on the map of all experts. Experts that are near nothing, as silent ones, have none.
CREATE TABLE overview (
    expert  INTEGER NOT NULL,
    x       FLOAT NOT NULL,             -- the map's own units: only nearness means anything
    y       FLOAT NOT NULL,
    cluster INTEGER                     -- NULL where it belongs to none
);

-- One row: a cluster of the map.
CREATE TABLE overview_clusters (
    cluster INTEGER NOT NULL,           -- from 0, the largest first
    name    VARCHAR NOT NULL,           -- 'Months', or its most lifted tokens
    basis   VARCHAR NOT NULL,           -- 'title', 'tokens'
    experts INTEGER NOT NULL,
    named   INTEGER NOT NULL,           -- of them, how many the name holds for: with this title's task, or firing on one of these tokens
    x       FLOAT NOT NULL,             -- its middle
    y       FLOAT NOT NULL
);

-- One row: an expert's title and the number that it rests on.
CREATE TABLE titles (
    expert  INTEGER NOT NULL,
    title   VARCHAR NOT NULL,
    basis   VARCHAR NOT NULL,           -- 'order', 'task', 'tokens', 'silent'
    task    INTEGER,                    -- basis 'order' and 'task'
    measure VARCHAR NOT NULL,           -- what the number is: 'R² all rows', 'lift', 'firings'
    value   DOUBLE NOT NULL
);

-- One row: how faithful one way of rebuilding the model's activations is, by one metric, in reading order.
-- Empty where `atlas evaluate` has not been run.
CREATE TABLE evaluation (
    task    INTEGER NOT NULL,           -- 0 is the corpus, its held-out documents only
    subject VARCHAR NOT NULL,           -- 'dictionary'; 'pca': principal components, equally many coordinates per token;
                                        -- of cross-entropy also 'model' (hook output kept), 'zero' and 'mean' (replaced by these)
    metric  VARCHAR NOT NULL,           -- 'fvu': unexplained share, of the variance about the mean; 'fvu_uncentred': about zero;
                                        -- 'cosine', 'norm_ratio': mean over tokens, of rebuilt with or over true;
                                        -- 'normalised_mse': mean over tokens of squared error over squared norm;
                                        -- 'experts_per_token', 'coordinates_per_token': mean over tokens;
                                        -- 'silent', 'dense': numbers of experts;
                                        -- 'rate_q0', 'rate_q10', 'rate_q50', 'rate_q90', 'rate_q100': quantiles over experts
                                        -- of the share of tokens that they fire on;
                                        -- 'cross_entropy': nats per token; 'cross_entropy_score': (zero - replaced) / (zero - kept)
    value   DOUBLE,                     -- NULL where it could not be measured
    tokens  BIGINT NOT NULL             -- tokens that it was measured on
);

-- One row: a metric of one step of the dictionary's training. Empty where the checkpoint holds no log.
CREATE TABLE training_log (
    step   BIGINT NOT NULL,
    metric VARCHAR NOT NULL,            -- as the checkpoint's log names it: 'loss', 'fvu', 'threshold', 'dead'
    value  DOUBLE NOT NULL
);

-- One row: a prompt that `atlas trace` added.
CREATE TABLE prompts (
    prompt INTEGER NOT NULL,            -- from 0, in the order in which they were added
    text   VARCHAR NOT NULL             -- as it was given
);

-- One row: a token of a prompt, in order.
CREATE TABLE prompt_tokens (
    prompt   INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- from 0 within the prompt
    token    INTEGER NOT NULL,
    text     VARCHAR NOT NULL,          -- with its leading space
    "window" INTEGER NOT NULL,          -- which window of the prompt the model saw it in, from 0
    special  BOOLEAN NOT NULL           -- a special token that the text spells out: context, which no expert reads
);

-- One row: an expert whose norm on some token of a prompt is at least half of the threshold. Any other is below that on every token.
CREATE TABLE prompt_norms (
    prompt INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    norms  FLOAT[] NOT NULL             -- on each token in order, before the gate; 0 on special tokens
);

-- One row: what a table of this file holds. Of every table but this one and run_log; `atlas verify` recomputes it.
CREATE TABLE contents (
    table_name VARCHAR NOT NULL,
    rows       BIGINT NOT NULL,
    sha256     VARCHAR NOT NULL         -- of its values by column, in the order of its rows, whatever DuckDB made of the bytes
);

-- One row: an expert as the first page lists it, most important first.
CREATE VIEW expert_overview AS
SELECT
    e.expert,
    t.title,
    t.basis,
    t.task AS title_task,
    t.measure,
    t.value,
    s.firings,
    s.held_out_firings,
    s.rate,
    s.importance,
    s.mean_norm,
    s.silent,
    s.dense,
    e.decoder_norm
FROM experts AS e
JOIN titles AS t USING (expert)
JOIN expert_stats AS s USING (expert)
WHERE s.task = 0
ORDER BY s.importance DESC, e.expert;

-- One row: a neighbour of an expert, of any kind; 'co_firing' as counted on the first corpus.
CREATE VIEW expert_neighbours AS
SELECT expert, kind, rank, neighbour, value FROM neighbours
UNION ALL
SELECT expert, 'co_firing' AS kind, rank, neighbour, log_odds AS value FROM co_firing WHERE task = 0
ORDER BY expert, kind, rank;

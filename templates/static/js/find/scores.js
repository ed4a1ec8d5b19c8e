"use strict";
// Scores by row, with the share of labels covered: { value, coverage, at(row), lacks }; NaN where nothing can be read, and what that
// says of an expert then.
(() => {
  const { array } = atlas.payloads;

  // The best of everything that can be read from each expert: what the list shows when nothing is asked.
  function ofAll({ experts, tasks }) {
    const { best_task: of, best_hypothesis: hypothesis, best_all_rows: value, best_all_rows_low: low, best_all_rows_high: high, best_covered: covered } = experts;
    const labels = new Map(tasks.map(({ task, labels: { name } }) => [task, name.length]));
    const coverage = Float32Array.from(covered, (number, row) => (Number.isNaN(value[row]) ? NaN : number / labels.get(of[row])));
    const lacks = tasks.some(({ hypotheses }) => hypotheses.length) ? "Nothing of the labelled tasks can be read from its code." : null;
    return { value, coverage, at: (row) => ({ task: of[row], hypothesis: hypothesis[row], value: value[row], low: low[row], high: high[row], covered: covered[row], labels: labels.get(of[row]) }), lacks };
  }

  // Of a task's best hypotheses, or of one (`at`), from its payload.
  function ofTask(stored, all, task, at) {
    const labels = task.labels.name.length;
    const columns = Object.fromEntries(["value", "low", "high", "coverage"].map((name) => [name, new Float32Array(all).fill(NaN)]));
    const of = new Uint16Array(all);
    const covered = new Uint16Array(all);
    if (stored) {
      const [rows, value, low, high, cover] = [stored.rows, stored.value, stored.low, stored.high, stored.covered].map(array);
      const hypothesis = stored.hypothesis ? array(stored.hypothesis) : null;
      rows.forEach((row, place) => {
        [columns.value[row], columns.low[row], columns.high[row]] = [value[place], low[place], high[place]];
        [covered[row], columns.coverage[row]] = [cover[place], cover[place] / labels];
        of[row] = hypothesis ? hypothesis[place] : at;
      });
    }
    const { value, low, high, coverage } = columns;
    const asked = at === null ? task.title : `${task.title}, ${task.hypotheses[at].title}`;
    const lacks = task.hypotheses.length ? `${asked} cannot be read from its code.` : `${task.title} has no hypothesis that could be read from it.`;
    return { value, coverage, at: (row) => ({ task: task.task, hypothesis: task.hypotheses[of[row]].hypothesis, value: value[row], low: low[row], high: high[row], covered: covered[row], labels }), lacks };
  }

  atlas.scores = { ofAll, ofTask };
})();

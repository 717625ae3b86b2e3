'use strict';
// Curves: a card for every metric, all chosen runs in it.

const metricTexts = {
  'solved': ['Solved', 'fraction of answers with full reward', '%'],
  'reward/mean': ['Reward', 'mean of the verdicts'],
  'reward/std': ['Spread of rewards', 'standard deviation over the answers'],
  'groups/mixed': ['Mixed groups', 'groups with right and wrong answers: those that teach'],
  'groups/all_right': ['Groups all right', 'nothing left to learn from them'],
  'groups/all_wrong': ['Groups all wrong', 'no right answer among them'],
  'entropy': ['Entropy', 'nats a token; falls as the model becomes sure'],
  'length/mean': ['Length', 'tokens of an answer, mean'],
  'length/max': ['Longest answer', 'tokens'],
  'finish/stop': ['Ended by itself', 'fraction of answers', '%'],
  'finish/length': ['Cut off', 'fraction that reached rollout.max_new_tokens', '%'],
  'tokens/generated': ['Tokens generated', 'a step'],
  'loss': ['Loss', 'what the methods minimise'],
  'kl': ['KL', 'distance from the reference, mean over tokens'],
  'grad_norm': ['Gradient norm', 'before clipping'],
  'clip': ['Clipped tokens', 'fraction whose gradient a clip took', '%'],
  'ratio/min': ['Least ratio', 'new over old probability of a token'],
  'ratio/max': ['Largest ratio', 'new over old probability of a token'],
  'lr': ['Learning rate', ''],
  'tokens/trained': ['Tokens trained', 'a step'],
  'mismatch': ['Mismatch', 'tokens whose probability differs between sampler and trainer: 0, or the run stops'],
  'mismatch/of': ['Tokens compared', 'by law 1'],
  'tok_s/generate': ['Generation speed', 'tokens a second'],
  'tok_s/train': ['Training speed', 'rows a second'],
  'time_s': ['Time of a step', 'seconds'],
  'memory/peak_mib': ['Memory', 'MiB at the peak'],
};

const sections = [
  ['Learning', [/^solved$/, /^reward\/mean$/, /^eval\/.*\/accuracy$/, /^entropy$/, /^length\/mean$/, /^groups\/mixed$/]],
  ['Answers', [/^eval\/.*\/pass@k$/, /^groups\/all_right$/, /^groups\/all_wrong$/, /^finish\/length$/, /^finish\/stop$/, /^length\/max$/]],
  ['Update', [/^loss$/, /^kl$/, /^grad_norm$/, /^clip$/, /^ratio\/max$/, /^ratio\/min$/, /^lr$/]],
  ['Law 1: sampler and trainer agree', [/^mismatch$/]],
  ['Speed and memory', [/^tok_s\//, /^memory\//, /^time_s$/, /^seconds\//, /^tokens\//]],
];
const inner = /^eval\/.*\/(low|high)$/; // drawn as the band of their accuracy

function metricTitle(name) {
  const known = metricTexts[name];
  if (known) return known;
  const test = name.match(/^eval\/(.*)\/(accuracy|pass@k)$/);
  if (test) return [test[2] === 'accuracy' ? 'Held out: ' + test[1] : 'pass@k: ' + test[1], test[2] === 'accuracy' ? 'accuracy with its 95 % interval' : 'problems with a right answer among the samples', '%'];
  return [name, ''];
}

const curves = {
  smoothing: store.get('smoothing', 0.9),
  axis: store.get('axis', 'step'),
  filter: '',
  log: new Set(store.get('log', [])),
  tables: new Set(),
  cards: new Map(), // name -> {node, chart, ...}
  observer: null,
};

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
const runColour = (run) => css('--run' + run.index % 8);

// Exponential moving average whose first values are not drawn to 0.
function smooth(values, weight) {
  let sum = 0, of = 0;
  return values.map((x) => {
    if (!isNumber(x)) return null;
    sum = weight * sum + (1 - weight) * x;
    of = weight * of + (1 - weight);
    return sum / of;
  });
}

function xOf(metrics) {
  return curves.axis === 'time' ? metrics.elapsed.map((s) => s / 60) : metrics.step;
}

function pointsOf(xs, ys, positive) {
  const points = [];
  for (let i = 0; i < xs.length; i++) if (isNumber(ys[i]) && (!positive || ys[i] > 0)) points.push({x: xs[i], y: ys[i]});
  return points;
}

const faint = (colour, share) => colour + Math.round(255 * share).toString(16).padStart(2, '0');

function band(xs, low, high, colour, positive) {
  const line = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0, band: true};
  return [{...line, data: pointsOf(xs, low, positive), fill: false}, {...line, data: pointsOf(xs, high, positive), fill: '-1', backgroundColor: faint(colour, 0.16)}];
}

// The lines of one run in one card; the first of them is the one that the tooltip speaks of.
function linesOf(run, name) {
  const m = run.metrics, values = m?.series[name];
  if (!values) return [];
  const xs = xOf(m), colour = runColour(run), positive = curves.log.has(name), points = pointsOf(xs, values, positive), few = points.length < 40;
  const main = {label: run.state.name, borderColor: colour, backgroundColor: colour, borderWidth: 2, pointRadius: few ? 2.5 : 0, pointHitRadius: 6, fill: false};
  const test = name.match(/^(eval\/.*)\/accuracy$/);
  if (test) {
    const low = m.series[test[1] + '/low'], high = m.series[test[1] + '/high'];
    return [{...main, data: points}, ...(low && high ? band(xs, low, high, colour, positive) : [])];
  }
  const ranged = m.low[name] && m.high[name] ? band(xs, m.low[name], m.high[name], colour, positive) : [];
  if (few || !curves.smoothing) return [{...main, data: points}, ...ranged];
  return [{...main, data: pointsOf(xs, smooth(values, curves.smoothing), positive)}, ...(ranged.length ? ranged : [{...main, data: points, label: '', borderColor: faint(colour, 0.28), borderWidth: 1, pointRadius: 0, band: true}])];
}

function chartOptions(name) {
  const ink = css('--muted'), grid = css('--line'), share = metricTitle(name)[2] === '%';
  const axis = {grid: {color: grid, drawBorder: false, tickLength: 4}, ticks: {color: ink, font: {size: 11}, maxTicksLimit: 6}}, steps = curves.axis === 'step' ? {precision: 0} : {};
  return {
    animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
    interaction: {mode: 'nearest', axis: 'x', intersect: false},
    scales: {
      x: {type: 'linear', ...axis, ticks: {...axis.ticks, ...steps}, grid: {display: false}, title: {display: true, text: curves.axis === 'time' ? 'minutes' : 'step', color: ink, font: {size: 11}, padding: 0}},
      y: {type: curves.log.has(name) ? 'logarithmic' : 'linear', ...axis, grace: '4%', ticks: {...axis.ticks, callback: (v) => share ? Math.round(1000 * v) / 10 + ' %' : short(v)}},
    },
    plugins: {
      legend: {display: false},
      tooltip: {
        filter: (item) => !item.dataset.band, displayColors: runs.length > 1,
        callbacks: {
          title: (items) => items.length ? (curves.axis === 'time' ? items[0].parsed.x.toFixed(1) + ' min' : 'step ' + whole(items[0].parsed.x)) : '',
          label: (item) => (runs.length > 1 ? item.dataset.label + ': ' : '') + (share ? percent(item.parsed.y, 2) : short(item.parsed.y)),
        },
      },
    },
  };
}

const shownRuns = () => runs.filter((r) => r.shown);

function describe(name) {
  const share = metricTitle(name)[2] === '%', say = (x) => share ? percent(x) : short(x);
  const parts = shownRuns().map((run) => {
    const values = (run.metrics?.series[name] || []).filter(isNumber);
    if (!values.length) return null;
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    return (runs.length > 1 ? run.state.name + ': ' : '') + say(values[0]) + ' at first, ' + say(values[values.length - 1]) + ' at last, between ' + say(low) + ' and ' + say(high);
  });
  return metricTitle(name)[0] + '. ' + parts.filter(Boolean).join('; ');
}

function latest(name) {
  const share = metricTitle(name)[2] === '%';
  return shownRuns().map((run) => {
    const e = ends(run, name);
    return e && el('span', {class: 'latest run' + run.index % 8}, share ? percent(e[1]) : short(e[1]));
  });
}

function cardTable(name) {
  const some = shownRuns().filter((r) => r.metrics?.series[name]), rows = [], most = 40;
  for (const run of some) {
    const m = run.metrics, has = [];
    m.series[name].forEach((y, i) => { if (isNumber(y)) has.push(i); });
    const stride = Math.max(1, Math.ceil(has.length / most));
    has.forEach((i, k) => {
      if (k % stride && k !== has.length - 1) return;
      rows.push(el('tr', {}, runs.length > 1 ? el('td', {}, run.state.name) : null, el('td', {class: 'number'}, whole(m.step[i])), el('td', {class: 'number'}, short(m.series[name][i]))));
    });
  }
  return el('div', {class: 'card-table', tabindex: 0, role: 'region', 'aria-label': metricTitle(name)[0] + ' as a table'},
    el('table', {}, el('thead', {}, el('tr', {}, runs.length > 1 ? el('th', {scope: 'col'}, 'run') : null, el('th', {scope: 'col', class: 'number'}, 'step'), el('th', {scope: 'col', class: 'number'}, 'value'))), el('tbody', {}, rows)));
}

function drawCard(card) {
  const datasets = shownRuns().flatMap((run) => linesOf(run, card.name));
  card.latest.replaceChildren(...latest(card.name).filter(Boolean));
  card.canvas.setAttribute('aria-label', describe(card.name));
  if (!card.visible) {
    card.stale = true;
    return;
  }
  card.stale = false;
  const asTable = curves.tables.has(card.name) || !window.Chart;
  card.plot.hidden = asTable;
  card.table.hidden = !asTable;
  if (asTable) {
    card.table.replaceChildren(cardTable(card.name));
    return;
  }
  if (card.chart) {
    card.chart.data.datasets = datasets;
    card.chart.options = chartOptions(card.name);
    card.chart.update('none');
  } else {
    card.chart = new window.Chart(card.canvas, {type: 'line', data: {datasets}, options: chartOptions(card.name)});
  }
}

function toggle(text, on, title, change) {
  const node = el('button', {type: 'button', class: 'toggle', 'aria-pressed': on, title, onclick: () => {
    const now = node.getAttribute('aria-pressed') !== 'true';
    node.setAttribute('aria-pressed', now);
    change(now);
  }}, text);
  return node;
}

function makeCard(name) {
  const [title, about] = metricTitle(name), card = {name, visible: false, stale: true};
  const mark = (set, key) => (on) => {
    if (on) set.add(name); else set.delete(name);
    if (key) store.set(key, [...set]);
    drawCard(card);
  };
  card.latest = el('p', {class: 'card-latest'});
  card.canvas = el('canvas', {role: 'img'});
  card.plot = el('div', {class: 'plot'}, card.canvas);
  card.table = el('div', {hidden: true});
  card.node = el('article', {class: 'card', 'data-metric': name},
    el('header', {}, el('div', {}, el('h3', {}, title), about ? el('p', {class: 'about'}, about) : null), card.latest),
    card.plot, card.table,
    el('footer', {}, el('code', {}, name), el('span', {class: 'toggles'},
      toggle('log', curves.log.has(name), 'logarithmic axis for ' + title, mark(curves.log, 'log')),
      toggle('table', curves.tables.has(name), title + ' as a table', mark(curves.tables)))));
  card.node.card = card;
  return card;
}

function metricNames() {
  const names = new Set();
  for (const run of runs) for (const name of Object.keys(run.metrics?.series || {})) if (!inner.test(name)) names.add(name);
  return [...names];
}

// Where a run stands: [label, value, note, good or bad] each.
function standing(run) {
  const s = run.state, list = [], add = (label, pair, good) => { if (pair) list.push([label, ...pair, good]); };
  const fromTo = (name, say) => {
    const e = ends(run, name);
    return e ? [say(e[1]), 'from ' + say(e[0])] : null;
  };
  const test = Object.keys(run.metrics.series).find((n) => /^eval\/.*\/accuracy$/.test(n)), memory = ends(run, 'memory/peak_mib');
  if (test) add('Held out', fromTo(test, percent));
  if (s.sft) add('Loss', fromTo('loss', short)); else add('Solved', fromTo('solved', percent));
  add('Entropy', fromTo('entropy', short));
  add('Length', fromTo('length/mean', short));
  if (s.mismatch_of) add('Mismatch', [whole(s.mismatch), 'of ' + whole(s.mismatch_of)], s.mismatch === 0);
  add('Tokens a second', fromTo('tok_s/generate', whole) || fromTo('tok_s/train', whole));
  if (memory) add('Memory', [whole(memory[1]) + ' MiB', 'at the peak']);
  add('Time', [duration(s.elapsed), plural(Math.max(0, s.step), 'step')]);
  return list;
}

const goodness = (good) => good === true ? ' good' : good === false ? ' bad' : '';

// One run: tiles. Several: a table of them.
function overview() {
  const some = shownRuns().filter((r) => r.metrics);
  if (!some.length) return '';
  if (runs.length === 1) {
    return el('dl', {class: 'tiles'}, standing(some[0]).map(([label, value, note, good]) =>
      el('div', {class: 'tile' + goodness(good)}, el('dt', {}, label), el('dd', {}, value, el('small', {}, note)))));
  }
  const all = some.map((r) => new Map(standing(r).map((x) => [x[0], x]))), labels = [...new Set(all.flatMap((m) => [...m.keys()]))];
  return el('div', {class: 'scroll overview', tabindex: 0, role: 'region', 'aria-label': 'Where the runs stand'}, el('table', {},
    el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'Run'), labels.map((l) => el('th', {scope: 'col', class: 'number'}, l)))),
    el('tbody', {}, some.map((run, i) => el('tr', {}, el('th', {scope: 'row', class: 'run' + run.index % 8}, run.state.name), labels.map((l) => {
      const x = all[i].get(l);
      return el('td', {class: 'number' + (x ? goodness(x[3]) : '')}, x ? [el('b', {}, x[1]), el('small', {}, x[2])] : '–');
    }))))));
}

function layCards() {
  const names = metricNames(), taken = new Set(), nodes = [];
  const wanted = (name) => !curves.filter || (name + ' ' + metricTitle(name)[0]).toLowerCase().includes(curves.filter.toLowerCase());
  const lay = (title, list, open) => {
    const cards = list.filter(wanted).map((name) => {
      if (!curves.cards.has(name)) curves.cards.set(name, makeCard(name));
      return curves.cards.get(name);
    });
    if (!cards.length) return;
    const grid = el('div', {class: 'cards'}, cards.map((c) => c.node));
    nodes.push(open ? el('section', {}, el('h2', {}, title), grid) : el('details', {class: 'more', open: Boolean(curves.filter)}, el('summary', {}, el('h2', {}, title + ' (' + cards.length + ')')), grid));
  };
  for (const [title, patterns] of sections) {
    const list = patterns.flatMap((p) => names.filter((n) => p.test(n) && !taken.has(n)));
    list.forEach((n) => taken.add(n));
    lay(title, list, true);
  }
  lay('More', names.filter((n) => !taken.has(n)), false);
  curves.names = names.join('\n');
  curves.body.replaceChildren(...(nodes.length ? nodes : [empty(names.length ? 'No metric is named so.' : 'No step is finished yet.')]));
  curves.observer.disconnect();
  for (const node of curves.body.querySelectorAll('.card')) curves.observer.observe(node);
}

function drawCurves() {
  curves.tiles.replaceChildren(overview());
  if (curves.names !== metricNames().join('\n')) layCards();
  for (const card of curves.cards.values()) drawCard(card);
}

function curvesView(main) {
  curves.observer?.disconnect();
  for (const card of curves.cards.values()) card.chart?.destroy();
  curves.cards.clear();
  curves.names = null;
  curves.observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = entry.target.card;
      card.visible = entry.isIntersecting;
      if (card.visible && card.stale) drawCard(card);
    }
  }, {rootMargin: '300px'});
  const shown = el('output', {}, curves.smoothing.toFixed(2));
  const slider = el('input', {type: 'range', min: 0, max: 0.98, step: 0.02, value: curves.smoothing, oninput: () => {
    curves.smoothing = Number(slider.value);
    shown.textContent = curves.smoothing.toFixed(2);
    store.set('smoothing', curves.smoothing);
    drawCurves();
  }});
  const search = el('input', {type: 'search', placeholder: 'entropy, eval, grpo/ ...', oninput: later(120, () => {
    curves.filter = search.value.trim();
    layCards();
    drawCurves();
  })});
  curves.tiles = el('div', {});
  curves.body = el('div', {});
  main.replaceChildren(el('h1', {class: 'away'}, 'Curves'), curves.tiles,
    el('form', {class: 'tools', 'aria-label': 'How curves are drawn', onsubmit: (e) => e.preventDefault()},
      field('Smoothing', el('span', {class: 'slider'}, slider, shown)),
      field('Over', choice([['step', 'steps'], ['time', 'time']], curves.axis, (v) => { curves.axis = v; store.set('axis', v); drawCurves(); })),
      field('Find a metric', search)),
    window.Chart ? '' : el('p', {class: 'notice'}, 'Chart.js is not installed here, so numbers stand in tables. Install it and start again: apt install libjs-chart.js'),
    curves.body);
  drawCurves();
}

'use strict';
// The frame: which view stands, what the runs are doing, light or dark, and the question for news.

const views = {
  curves: {title: 'Curves', show: curvesView, update: drawCurves, news: (s) => [s.generation, s.rows, s.running]},
  problems: {title: 'Problems', show: problemsView, update: updateProblems, news: (s) => [s.indexed, s.rollouts]},
  rollouts: {title: 'Rollouts', show: rolloutsView, update: updateRollouts, news: (s) => [s.rollouts, s.last_rollouts, s.running]},
  evaluations: {title: 'Evaluations', show: evaluationsView, update: updateEvaluations, news: (s) => [s.evaluations, s.last_evaluation]},
  recipe: {title: 'Recipe', show: recipeView, update: () => {}, news: () => null},
  log: {title: 'Log', show: logView, update: loadLog, news: (s) => [s.generation, s.rows, s.running]},
};
let view = null;

function route() {
  const [name, ...parts] = location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  const next = views[name] ? name : 'curves', again = view === next;
  view = next;
  inspector.hidden = true;
  document.title = views[view].title + ': ' + runs.map((r) => r.state.name).join(', ') + ' (Assay)';
  for (const link of document.querySelectorAll('nav [data-view]')) {
    if (link.dataset.view === view) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  views[view].show(byId('main'), parts, again);
  if (!again) scrollTo(0, 0);
}

// ---- light and dark ---------------------------------------------------------------------------------------------------

function setTheme(theme) {
  store.set('theme', theme);
  byId('theme').textContent = 'Theme: ' + theme;
  if (theme === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  if (view === 'curves') drawCurves();
}
byId('theme').addEventListener('click', () => {
  const order = ['auto', 'light', 'dark'];
  setTheme(order[(order.indexOf(store.get('theme', 'auto')) + 1) % 3]);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { if (view === 'curves') drawCurves(); });

// ---- runs ---------------------------------------------------------------------------------------------------------------

function timeLeft(s) {
  if (!s.running || !s.goal || s.step < 2 || !s.elapsed) return null;
  return duration((s.goal - s.step) * s.elapsed / s.step);
}

function runNode(run) {
  const s = run.state, share = s.goal > 0 ? Math.min(1, Math.max(0, s.step / s.goal)) : null, left = timeLeft(s);
  const what = s.running ? 'running' : s.goal && s.step >= s.goal ? 'finished' : 'stopped';
  const name = runs.length > 1
    ? el('label', {}, el('input', {type: 'checkbox', checked: run.shown, onchange: (e) => { run.shown = e.target.checked; if (view === 'curves') drawCurves(); }}), el('i', {class: 'swatch back' + run.index % 8}), el('b', {}, s.name))
    : el('b', {}, s.name);
  return el('div', {class: 'run', title: s.path}, name, el('span', {class: 'state ' + what}, what),
    el('span', {class: 'about'}, 'step ' + whole(Math.max(0, s.step)) + (s.goal ? ' of ' + whole(s.goal) : '') + (left ? ', about ' + left + ' left' : '')),
    share === null ? null : el('progress', {max: 1, value: share, 'aria-label': s.name + ': share of its steps'}));
}

let runsKey = '', spoken = '';
function drawRuns() {
  const key = JSON.stringify(runs.map((r) => [r.state.name, r.state.step, r.state.running, r.state.goal]));
  if (key !== runsKey && !byId('runs').contains(document.activeElement)) {
    runsKey = key;
    byId('runs').replaceChildren(...runs.map(runNode));
  }
  const running = runs.filter((r) => r.state.running).length, text = exported ? 'a file of ' + exported.made : running ? plural(running, 'run') + ' running, live' : 'not running';
  if (text !== spoken) byId('status').replaceChildren(spoken = text); // said aloud only when it changes
  byId('status').className = running && !exported ? 'live' : '';
  const notes = runs.filter((r) => r.state.note).map((r) => r.state.name + ': ' + r.state.note + (r.state.damaged > 1 ? ' (and ' + (r.state.damaged - 1) + ' more)' : ''));
  setNotice(notes.join('. '));
}

function setNotice(text) {
  const notice = byId('notice');
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

function takeState(state) {
  state.runs.forEach((s, index) => {
    if (runs[index]) runs[index].state = s; else runs.push({index, state: s, metrics: null, shown: true});
  });
}

const news = () => view && JSON.stringify(runs.map((r) => views[view].news(r.state)));

// What has changed is asked for; nothing is drawn where nothing has that the view shows.
async function refresh() {
  const before = news();
  const state = await ask('state');
  takeState(state);
  for (const run of runs) {
    if (run.read === run.state.generation + '/' + run.state.rows) continue;
    const read = run.state.generation + '/' + run.state.rows;
    await loadMetrics(run);
    run.read = read;
  }
  drawRuns();
  if (news() !== before) views[view].update();
  return state;
}

async function watch() {
  let wait = 2000;
  try {
    const state = await refresh();
    if (!view) {
      addEventListener('hashchange', route);
      route();
    }
    wait = state.more ? 20 : document.hidden ? 15000 : runs.some((r) => r.state.running) ? 1500 : 4000;
  } catch (e) {
    setNotice(exported ? String(e.message) : 'The server does not answer (' + e.message + '). Asking again.');
    byId('status').replaceChildren(spoken = 'no connection');
    wait = 3000;
  }
  if (!exported) setTimeout(watch, wait);
}

setTheme(store.get('theme', 'auto'));
watch();

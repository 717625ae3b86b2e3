'use strict';
// Problems: one row each, with the history of its solve rate.

const problems = {run: 0, query: '', kind: 'all', sort: 'recent', most: 100, reply: null};

const rateOf = (visit) => visit[3] ? visit[2] / visit[3] : 0;

// rows are [key, id, text, right, of, visits]
const problemKinds = [
  ['all', 'all', () => true],
  ['never', 'never solved', (r) => r[3] === 0],
  ['always', 'always solved', (r) => r[3] === r[4]],
  ['mixed', 'sometimes solved', (r) => r[3] > 0 && r[3] < r[4]],
  ['better', 'became better', (r) => r[5].length > 1 && rateOf(r[5][r[5].length - 1]) > rateOf(r[5][0])],
  ['worse', 'became worse', (r) => r[5].length > 1 && rateOf(r[5][r[5].length - 1]) < rateOf(r[5][0])],
];
const lastVisit = (r) => r[5][r[5].length - 1];
const change = (r) => rateOf(lastVisit(r)) - rateOf(r[5][0]);
const problemSorts = [
  ['recent', 'asked last', (a, b) => lastVisit(b)[1] - lastVisit(a)[1]],
  ['hard', 'hardest first', (a, b) => a[3] / a[4] - b[3] / b[4] || b[4] - a[4]],
  ['easy', 'easiest first', (a, b) => b[3] / b[4] - a[3] / a[4] || b[4] - a[4]],
  ['gain', 'largest gain', (a, b) => change(b) - change(a)],
  ['loss', 'largest loss', (a, b) => change(a) - change(b)],
  ['often', 'asked most', (a, b) => b[4] - a[4]],
];

const problemHref = (run, step, key) => '#/rollouts/' + run + '/' + step + (key ? '/' + key : '');

function problemRow(row, run) {
  const [key, id, text, right, of, visits] = row, last = visits[visits.length - 1];
  const state = runs[run].state;
  return el('div', {role: 'row', class: 'problem'},
    el('div', {role: 'cell', class: 'problem-text'}, el('a', {href: problemHref(run, last[1], key)}, text || id), el('small', {}, text ? id : '')),
    el('div', {role: 'cell', class: 'problem-strip'}, strip(visits, Math.max(0, state.index_from), Math.max(1, state.last_rollouts), visitsInWords(visits))),
    el('div', {role: 'cell', class: 'number problem-now'}, el('b', {}, last[2] + '/' + last[3]), el('small', {}, 'step ' + whole(last[1]))),
    el('div', {role: 'cell', class: 'number problem-all'}, percent(right / of, 0), el('small', {}, 'of ' + plural(of, 'answer'))));
}

function drawProblems() {
  const reply = problems.reply, kind = problemKinds.find((k) => k[0] === problems.kind)[2], order = problemSorts.find((k) => k[0] === problems.sort)[2];
  const query = problems.query.toLowerCase(), state = runs[problems.run].state;
  const rows = reply.rows.filter((r) => r[5].length && kind(r) && (!query || (r[1] + '\n' + r[2]).toLowerCase().includes(query))).sort(order);
  const notes = [plural(rows.length, 'problem') + (rows.length === reply.total ? '' : ' of ' + whole(reply.total))];
  if (state.indexed < state.rollouts) notes.push('reading: step ' + whole(state.indexed) + ' of ' + whole(state.rollouts));
  if (state.index_from > 1) notes.push('history from step ' + whole(state.index_from));
  if (reply.forgotten) notes.push(whole(reply.forgotten) + ' that were not asked for long are left out');
  if (reply.matched > reply.rows.length) notes.push('the ' + whole(reply.rows.length) + ' asked last are here; search finds others');
  problems.note.textContent = notes.join('; ');
  const head = el('div', {role: 'row', class: 'problem problem-head'},
    el('div', {role: 'columnheader'}, 'Problem'), el('div', {role: 'columnheader', class: 'problem-strip'}, 'Solve rate over steps'),
    el('div', {role: 'columnheader', class: 'number'}, 'Last time'), el('div', {role: 'columnheader', class: 'number problem-all'}, 'Overall'));
  const table = el('div', {role: 'table', 'aria-label': 'Problems', class: 'problems'}, head, rows.slice(0, problems.most).map((r) => problemRow(r, problems.run)));
  const more = rows.length > problems.most ? el('button', {type: 'button', class: 'quiet wide', onclick: () => { problems.most *= 4; drawProblems(); }}, 'Show more') : null;
  problems.body.replaceChildren(...[rows.length ? table : empty(reply.total ? 'No problem is like that.' : 'No rollouts are kept, or none are read yet.'), more].filter(Boolean));
}

async function loadProblems() {
  const seen = runs[problems.run].state.indexed;
  try {
    problems.reply = await ask('problems', {run: problems.run}, problems.query ? {q: problems.query} : {});
    problems.seen = seen;
    drawProblems();
  } catch (e) {
    problems.body.replaceChildren(failure(e));
  }
}

function heatLegend() {
  return el('p', {class: 'legend'}, el('span', {}, 'solved: none'), el('span', {class: 'scale', 'aria-hidden': 'true'}, [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => el('i', {class: 'box h' + i}))), el('span', {}, 'all'));
}

function problemsView(main) {
  problems.most = 100;
  problems.note = el('p', {class: 'note', role: 'status'});
  problems.body = el('div', {});
  const search = el('input', {type: 'search', value: problems.query, placeholder: 'text or id', oninput: later(150, () => { problems.query = search.value.trim(); loadProblems(); })});
  main.replaceChildren(el('h1', {class: 'away'}, 'Problems'),
    el('form', {class: 'tools', 'aria-label': 'Which problems', onsubmit: (e) => e.preventDefault()},
      runChoice(problems.run, (v) => { problems.run = v; loadProblems(); }),
      field('Search', search),
      field('Show', choice(problemKinds.map((k) => [k[0], k[1]]), problems.kind, (v) => { problems.kind = v; drawProblems(); })),
      field('Order', choice(problemSorts.map((k) => [k[0], k[1]]), problems.sort, (v) => { problems.sort = v; drawProblems(); })),
      heatLegend()),
    problems.note, problems.body);
  loadProblems();
}

// The table is made anew when steps have come, at most every few seconds; the last of them are not missed.
function updateProblems() {
  if (runs[problems.run].state.indexed === problems.seen) return;
  const wait = 2500 - (Date.now() - (problems.at || 0));
  if (wait > 0) {
    problems.timer ||= setTimeout(() => { problems.timer = 0; if (view === 'problems') updateProblems(); }, wait);
    return;
  }
  problems.at = Date.now();
  loadProblems();
}

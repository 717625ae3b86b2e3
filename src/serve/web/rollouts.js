'use strict';
// Rollouts: the answers of a step, and those to one problem side by side, token by token.

const rollouts = {run: 0, step: null, key: null, list: null, group: null, filter: '', kind: 'all', sort: 'rollout', colour: store.get('colour', 'probability'), follow: false};

// lines are [key, group, attempt, rollout, reward, verdict, tokens, finish, text, counts]
function groupsOf(list) {
  const groups = new Map();
  for (const line of list.lines) {
    const name = line[0] + '/' + line[1];
    if (!groups.has(name)) groups.set(name, {key: line[0], group: line[1], lines: []});
    groups.get(name).lines.push(line);
  }
  return [...groups.values()];
}

const verdictWord = (v) => v === 1 ? 'right' : v === 0 ? 'wrong' : 'failed';
const verdictMark = (v) => v === 1 ? '✓' : v === 0 ? '✗' : '!';
const isRight = (line) => line[5] === 1;
const groupKinds = [
  ['all', 'all', () => true],
  ['mixed', 'right and wrong', (g) => g.lines.some(isRight) && !g.lines.every(isRight)],
  ['right', 'all right', (g) => g.lines.every(isRight)],
  ['wrong', 'none right', (g) => !g.lines.some(isRight)],
  ['failed', 'verifier failed', (g) => g.lines.some((l) => l[5] < 0)],
];

// ---- colours of tokens ----------------------------------------------------------------------------------------------

const level = (share) => Math.max(0, Math.min(8, Math.round(8 * share)));
const tokenColours = {
  probability: {name: 'probability', of: (r, i) => isNumber(r.logp[i]) ? 'p' + level(1 - Math.exp(r.logp[i])) : '', low: 'certain', high: 'unlikely', letter: 'p'},
  entropy: {name: 'entropy', of: (r, i) => isNumber(r.entropy[i]) ? 'e' + level(r.entropy[i] / 3) : '', low: '0 nats', high: '3 or more', letter: 'e'},
  advantage: {name: 'advantage', of: (r, i, most) => {
    const a = advantageOf(r, i);
    return isNumber(a) && a !== 0 && most ? (a > 0 ? 'a' : 'd') + level(Math.abs(a) / most) : '';
  }, low: 'down', high: 'up', letter: 'a'},
  nothing: {name: 'nothing', of: () => ''},
};

function advantageOf(r, i) {
  return Array.isArray(r.advantage) ? r.advantage[i + (r.advantage_skip || 0)] : r.advantage;
}

function legend() {
  const c = tokenColours[rollouts.colour];
  if (!c.letter) return null;
  const boxes = c.letter === 'a' ? ['d8', 'd6', 'd4', 'd2', 'a0', 'a2', 'a4', 'a6', 'a8'] : [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => c.letter + i);
  return el('p', {class: 'legend'}, el('span', {}, c.low), el('span', {class: 'scale', 'aria-hidden': 'true'}, boxes.map((b) => el('i', {class: 'box ' + b}))), el('span', {}, c.high));
}

// ---- tokens ---------------------------------------------------------------------------------------------------------

function pieceText(piece) {
  if (typeof piece === 'string') return piece;
  return piece.special ?? (piece.bytes ? '⟨' + piece.bytes + '⟩' : '⟨' + piece.id + '⟩');
}
// A line's end is shown and kept; other control characters get their picture.
const visible = (text) => text.replace(/\n/g, '↵\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => c === '\u007f' ? '␡' : String.fromCharCode(0x2400 + c.charCodeAt(0)));

function pieceNode(piece, colour, index) {
  return el('span', {class: 'token ' + (typeof piece === 'string' ? '' : 'odd ') + colour, 'data-i': index}, visible(pieceText(piece)));
}

const inspector = byId('inspector');

function row(term, value) {
  return value === null ? null : [el('dt', {}, term), el('dd', {}, value)];
}

function alternativesOf(r, i) {
  const list = r.alternatives?.tokens[i];
  if (!list) return el('p', {class: 'about'}, r.alternatives ? 'no alternatives for this token' : exported ? 'alternatives are not recorded in rollouts' : 'alternatives: press the button below the answer');
  return el('table', {class: 'alternatives'}, el('caption', {}, 'most likely, ' + r.alternatives.from),
    el('tbody', {}, list.map(([piece, id, logp]) => el('tr', {class: id === r.ids[i] ? 'chosen' : null}, el('td', {}, el('code', {}, visible(pieceText(piece)))), el('td', {class: 'number'}, percent(Math.exp(logp)))))));
}

function inspect(node, r) {
  const i = Number(node.dataset.i), logp = r.logp[i], e = r.entropy[i], a = advantageOf(r, i), behaviour = r.behaviour?.[i];
  inspector.replaceChildren(
    el('p', {class: 'inspected'}, el('code', {}, JSON.stringify(pieceText(r.pieces[i]))), ' token ' + (i + 1) + ' of ' + r.tokens + ', id ' + r.ids[i]),
    el('dl', {}, [row('probability', isNumber(logp) ? percent(Math.exp(logp), 2) : '–'), row('log', short(logp)),
      row('entropy', isNumber(e) ? short(e) + ' nats, as of ' + short(Math.exp(e)) + ' equal choices' : '–'),
      row('advantage', isNumber(a) ? signed(a) : '–'), row('as drawn', isNumber(behaviour) ? percent(Math.exp(behaviour), 2) : null)].flat()),
    alternativesOf(r, i));
  inspector.hidden = false;
  const box = node.getClientRects()[0] || node.getBoundingClientRect(), w = inspector.offsetWidth, h = inspector.offsetHeight;
  inspector.style.left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - w - 8)) + 'px';
  inspector.style.top = (box.bottom + 6 + h > innerHeight && box.top - h - 6 > 0 ? box.top - h - 6 : box.bottom + 6) + 'px';
}

function leaveTokens(host) {
  inspector.hidden = true;
  host?.querySelector('.here')?.classList.remove('here');
}

// Hover, touch, and the arrow keys go through the tokens of one answer.
function tokensNode(r, most) {
  const colour = tokenColours[rollouts.colour], limit = r.all ? Infinity : 1500, said = el('span', {class: 'away', 'aria-live': 'polite'});
  const host = el('p', {class: 'tokens', tabindex: 0, role: 'group', 'aria-label': 'Answer ' + r.rollout + ', ' + plural(r.tokens, 'token') + '. Arrow keys go through them'},
    r.pieces.slice(0, limit).map((piece, i) => pieceNode(piece, colour.of(r, i, most), i)));
  const go = (node, aloud) => {
    leaveTokens(host);
    node.classList.add('here');
    inspect(node, r);
    if (aloud) said.textContent = inspector.querySelector('.inspected').textContent + '. ' + [...inspector.querySelectorAll('dl > *')].map((n) => n.textContent).join(' ');
  };
  host.addEventListener('pointerover', (e) => { const t = e.target.closest('.token'); if (t) go(t); });
  host.addEventListener('click', (e) => { const t = e.target.closest('.token'); if (t) go(t); });
  host.addEventListener('pointerleave', () => leaveTokens(host));
  host.addEventListener('blur', () => leaveTokens(host));
  host.addEventListener('keydown', (e) => {
    const all = host.querySelectorAll('.token'), here = host.querySelector('.here'), at = here ? Number(here.dataset.i) : -1;
    const to = {ArrowRight: at + 1, ArrowLeft: Math.max(0, at - 1), Home: 0, End: all.length - 1}[e.key];
    if (e.key === 'Escape') leaveTokens(host);
    if (to === undefined || !all[to]) return;
    e.preventDefault();
    go(all[to], true);
    all[to].scrollIntoView({block: 'nearest'});
  });
  const rest = r.pieces.length > limit ? el('button', {type: 'button', class: 'quiet', onclick: () => { r.all = true; drawGroup(); }}, 'Show all ' + whole(r.pieces.length) + ' tokens') : null;
  return [host, said, rest, r.tokens > r.pieces.length ? el('p', {class: 'about'}, 'the first ' + whole(r.pieces.length) + ' of ' + whole(r.tokens) + ' tokens') : null];
}

// ---- one answer -----------------------------------------------------------------------------------------------------

function channelsNode(channels) {
  const entries = Object.entries(channels || {});
  if (entries.length < 2) return null;
  return el('dl', {class: 'channels'}, entries.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, short(value))]));
}

function verdictOf(r) {
  const v = r.verdict || {};
  return v.failed ? -1 : v.correct ? 1 : 0;
}

async function loadAlternatives(r, button) {
  button.disabled = true;
  button.textContent = 'computing …';
  try {
    r.alternatives = await ask('alternatives', {run: rollouts.run, step: rollouts.group.step, problem: rollouts.group.problem, attempt: r.attempt, rollout: r.rollout});
    button.replaceWith(el('p', {class: 'about'}, 'alternatives ' + r.alternatives.from));
  } catch (e) {
    button.replaceWith(el('p', {class: 'about', role: 'alert'}, String(e.message)));
  }
}

function answerNode(r, most) {
  const verdict = verdictOf(r), v = r.verdict || {}, sum = r.logp.filter(isNumber).reduce((a, b) => a + b, 0);
  const advantages = Array.isArray(r.advantage) ? 'by token' : signed(r.advantage);
  const facts = [['reward', short(r.reward)], ['advantage', advantages], ['tokens', whole(r.tokens)], ['log p', short(sum)]];
  const extra = exported || r.alternatives ? null : el('button', {type: 'button', class: 'quiet small', onclick: (e) => loadAlternatives(r, e.target)}, 'Alternatives');
  return el('article', {class: 'answer ' + verdictWord(verdict), 'aria-label': 'Answer ' + r.rollout + ', ' + verdictWord(verdict)},
    el('header', {}, el('h4', {}, 'Answer ' + r.rollout + (r.attempt ? ', wave ' + r.attempt : '')),
      el('span', {class: 'verdict'}, verdictMark(verdict) + ' ' + verdictWord(verdict)),
      r.probe ? el('span', {class: 'badge'}, r.probe) : null, r.kept === false ? el('span', {class: 'badge'}, 'dropped') : null, r.context ? el('span', {class: 'badge'}, r.context) : null,
      r.finish === 'length' ? el('span', {class: 'badge warn'}, 'cut off') : null),
    tokensNode(r, most),
    el('dl', {class: 'facts'}, facts.map(([k, x]) => el('div', {}, el('dt', {}, k), el('dd', {}, x)))), channelsNode(r.channels),
    el('footer', {}, el('p', {}, v.reason || 'no reason given'),
      v.extracted !== null && v.extracted !== undefined && v.extracted !== '' ? el('p', {class: 'about'}, 'read as ', el('code', {}, String(v.extracted))) : null, extra));
}

const answerSorts = [
  ['rollout', 'number', (a, b) => a.attempt - b.attempt || a.rollout - b.rollout],
  ['reward', 'reward', (a, b) => b.reward - a.reward],
  ['length', 'length', (a, b) => b.tokens - a.tokens],
  ['likely', 'probability', (a, b) => b.logp.reduce((s, x) => s + x, 0) - a.logp.reduce((s, x) => s + x, 0)],
];

function visitsNode(visits) {
  if (!visits || visits.length < 2) return null;
  return el('nav', {class: 'visits', 'aria-label': 'Other steps of this problem'}, el('span', {class: 'about'}, 'asked at step'),
    visits.map((v) => el('a', {href: problemHref(rollouts.run, v[1], rollouts.key), class: 'visit h' + Math.round(8 * rateOf(v)), 'aria-current': v[1] === rollouts.group.step ? 'true' : null, title: v[2] + ' of ' + v[3] + ' right'}, whole(v[1]))));
}

function drawGroup() {
  const g = rollouts.group, order = answerSorts.find((s) => s[0] === rollouts.sort)[2];
  if (!g) return;
  inspector.hidden = true;
  const most = Math.max(0, ...g.rollouts.flatMap((r) => Array.isArray(r.advantage) ? r.advantage.map(Math.abs) : [Math.abs(r.advantage || 0)]));
  const right = g.rollouts.filter((r) => verdictOf(r) === 1).length;
  rollouts.detail.replaceChildren(
    el('header', {class: 'group-head'}, el('h2', {tabindex: -1}, 'Step ' + whole(g.step) + ': ' + right + ' of ' + g.rollouts.length + ' right'), el('p', {class: 'about'}, g.id),
      visitsNode(g.visits),
      el('details', {class: 'prompt', open: g.prompt.length < 200}, el('summary', {}, 'Prompt, ' + plural(g.prompt.length, 'token')), el('p', {class: 'tokens'}, g.prompt.map((p, i) => pieceNode(p, '', i))))),
    el('div', {class: 'answers'}, [...g.rollouts].sort(order).map((r) => answerNode(r, most))),
    g.of > g.rollouts.length ? el('p', {class: 'note'}, 'the first ' + g.rollouts.length + ' of ' + whole(g.of) + ' answers') : '');
}

async function loadGroup(focus) {
  if (!rollouts.key) {
    rollouts.group = null;
    rollouts.detail.replaceChildren(empty('Choose a problem.'));
    return;
  }
  const at = {run: rollouts.run, step: rollouts.step, problem: rollouts.key};
  try {
    const group = await ask('group', at);
    const known = exported ? (await ask('problems', {run: at.run})).rows.find((r) => r[0] === at.problem) : (await ask('problem', {run: at.run, problem: at.problem})).row;
    if (at.step !== rollouts.step || at.problem !== rollouts.key) return; // another was chosen meanwhile
    group.visits = known && known[5];
    if (exported && group.visits) group.visits = group.visits.filter((v) => exported[address('group', {run: at.run, step: v[1], problem: at.problem})]);
    rollouts.group = group;
    drawGroup();
    if (focus) rollouts.detail.querySelector('h2').focus({preventScroll: false});
  } catch (e) {
    rollouts.group = null;
    rollouts.detail.replaceChildren(failure(e));
  }
}

// ---- the list of a step ---------------------------------------------------------------------------------------------

function groupLink(g) {
  const [id, text] = rollouts.list.problems[g.key] || ['', ''], counted = g.lines.filter((l) => l[9]);
  const right = counted.filter(isRight).length, absent = exported && !exported[address('group', {run: rollouts.run, step: rollouts.step, problem: g.key})];
  return el('li', {}, el('a', {href: problemHref(rollouts.run, rollouts.step, g.key), 'aria-current': g.key === rollouts.key ? 'true' : null, class: absent ? 'absent' : null},
    el('span', {class: 'group-text'}, text || id),
    el('span', {class: 'dots', role: 'img', 'aria-label': right + ' of ' + counted.length + ' right'}, counted.slice(0, 16).map((l) => el('i', {class: verdictWord(l[5])})))));
}

function drawList() {
  const list = rollouts.list, kind = groupKinds.find((k) => k[0] === rollouts.kind)[2], filter = rollouts.filter.toLowerCase();
  const matches = (g) => !filter || (list.problems[g.key] || []).some((t) => t.toLowerCase().includes(filter)) || g.lines.some((l) => l[8].toLowerCase().includes(filter));
  const groups = groupsOf(list).filter((g) => kind(g) && matches(g));
  if (!rollouts.key && groups.length) {
    const open = groups.find((g) => g.lines.some(isRight) && !g.lines.every(isRight) && (!exported || exported[address('group', {run: rollouts.run, step: rollouts.step, problem: g.key})]));
    rollouts.key = (open || groups[0]).key;
    loadGroup(false);
  }
  rollouts.count.textContent = plural(groups.length, 'problem') + ', ' + plural(list.of, 'answer') + (list.of > list.lines.length ? ', the first ' + whole(list.lines.length) + ' listed' : '') + (list.damaged ? ', ' + list.damaged + ' damaged' : '');
  rollouts.listNode.replaceChildren(...groups.slice(0, 400).map(groupLink), ...(groups.length > 400 ? [el('li', {class: 'about'}, 'and ' + whole(groups.length - 400) + ' more: search')] : []));
}

async function loadList() {
  const at = [rollouts.run, rollouts.step].join();
  try {
    const list = await ask('rollouts', {run: rollouts.run, step: rollouts.step});
    if (at !== [rollouts.run, rollouts.step].join()) return;
    rollouts.list = list;
    rollouts.step = list.step;
    drawSteps();
    drawList();
  } catch (e) {
    rollouts.list = null;
    rollouts.count.textContent = '';
    rollouts.listNode.replaceChildren(el('li', {}, failure(e)));
  }
}

function goStep(step) {
  location.hash = problemHref(rollouts.run, step, null);
}

function drawSteps() {
  const s = runs[rollouts.run].state, list = rollouts.list;
  rollouts.slider.min = Math.max(0, s.first_rollouts);
  rollouts.slider.max = Math.max(0, s.last_rollouts);
  rollouts.slider.value = rollouts.step;
  rollouts.number.value = rollouts.step;
  rollouts.number.max = rollouts.slider.max;
  const steps = exported ? exportedSteps(rollouts.run) : null;
  const before = steps ? steps.filter((x) => x < rollouts.step).pop() ?? null : list?.before ?? null;
  const behind = steps ? steps.find((x) => x > rollouts.step) ?? null : list?.behind ?? (s.last_rollouts > rollouts.step ? s.last_rollouts : null);
  rollouts.before.disabled = before === null;
  rollouts.behind.disabled = behind === null;
  rollouts.before.onclick = () => goStep(before);
  rollouts.behind.onclick = () => goStep(behind);
}

function wantedStep(text) {
  const s = runs[rollouts.run].state, wanted = text === undefined || text === '' ? s.last_rollouts : Number(text);
  if (!exported) return wanted;
  const steps = exportedSteps(rollouts.run);
  return steps.reduce((best, x) => Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best, steps[0] ?? wanted);
}

function stepTools() {
  const arrow = (text, label) => el('button', {type: 'button', class: 'quiet', 'aria-label': label}, text);
  rollouts.before = arrow('←', 'step before');
  rollouts.behind = arrow('→', 'next step');
  rollouts.slider = el('input', {type: 'range', 'aria-label': 'Step', onchange: () => goStep(wantedStep(rollouts.slider.value)), oninput: () => { rollouts.number.value = rollouts.slider.value; }});
  rollouts.number = el('input', {type: 'number', 'aria-label': 'Step', min: 0, onchange: () => goStep(wantedStep(rollouts.number.value))});
  return el('div', {class: 'field step-field'}, el('span', {}, 'Step'), el('span', {class: 'steps'}, rollouts.before, rollouts.slider, rollouts.number, rollouts.behind));
}

function followTool() {
  if (!runs[rollouts.run].state.running) return null;
  const box = el('input', {type: 'checkbox', checked: rollouts.follow, onchange: () => { rollouts.follow = box.checked; updateRollouts(); }});
  return el('label', {class: 'check'}, box, 'Follow the newest step');
}

function layRollouts(main) {
  const search = el('input', {type: 'search', value: rollouts.filter, placeholder: 'problem or answer', oninput: later(120, () => { rollouts.filter = search.value.trim(); if (rollouts.list) drawList(); })});
  rollouts.listNode = el('ul', {class: 'groups'});
  rollouts.count = el('p', {class: 'note', role: 'status'});
  rollouts.detail = el('section', {class: 'group', 'aria-label': 'Answers to one problem'});
  rollouts.legend = el('div', {}, legend());
  main.replaceChildren(el('h1', {class: 'away'}, 'Rollouts'),
    el('form', {class: 'tools', 'aria-label': 'Which answers', onsubmit: (e) => e.preventDefault()},
      runChoice(rollouts.run, (v) => { location.hash = '#/rollouts/' + v; }),
      stepTools(), followTool(), field('Search', search),
      field('Show', choice(groupKinds.map((k) => [k[0], k[1]]), rollouts.kind, (v) => { rollouts.kind = v; if (rollouts.list) drawList(); })),
      field('Order', choice(answerSorts.map((k) => [k[0], k[1]]), rollouts.sort, (v) => { rollouts.sort = v; drawGroup(); })),
      field('Colour by', choice(Object.keys(tokenColours).map((k) => [k, tokenColours[k].name]), rollouts.colour, (v) => {
        rollouts.colour = v;
        store.set('colour', v);
        rollouts.legend.replaceChildren(legend() || '');
        drawGroup();
      }, {id: 'colour'})), rollouts.legend),
    el('div', {class: 'two'}, el('section', {class: 'list', 'aria-label': 'Problems of the step'}, rollouts.count, rollouts.listNode), rollouts.detail));
}

// #/rollouts[/RUN[/STEP[/KEY]]]
function rolloutsView(main, parts, again) {
  const run = Math.min(runs.length - 1, Number(parts[0]) || 0), step = (rollouts.run = run, wantedStep(parts[1])), key = parts[2] || null;
  if (!again) layRollouts(main);
  if (step < 0) {
    rollouts.step = step;
    rollouts.detail.replaceChildren(empty(runs[run].state.sft ? 'assay sft makes no rollouts.' : 'No rollouts are kept, or none are written yet.'));
    return;
  }
  const same = again && rollouts.list && rollouts.list.step === step && rollouts.listOf === run;
  rollouts.step = step;
  rollouts.key = key;
  rollouts.listOf = run;
  drawSteps();
  if (same) drawList(); else loadList();
  if (key) loadGroup(again);
}

// A run that goes on: with "follow" its newest step is shown as it comes.
function updateRollouts() {
  const newest = runs[rollouts.run].state.last_rollouts;
  if (rollouts.step < 0 || (rollouts.follow && newest > rollouts.step)) location.replace(problemHref(rollouts.run, newest, null));
  else drawSteps();
}

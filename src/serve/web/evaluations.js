'use strict';
// Evaluations: what was answered to the problems that training never sees, and how it was judged.

const evaluations = {run: 0, step: null, key: null, list: null, group: null, filter: '', kind: 'all', set: 'all', listOf: null};

const evaluationHref = (run, step, key) => '#/evaluations/' + run + '/' + (step ?? '') + (key ? '/' + key : '');

// ---- one problem ------------------------------------------------------------------------------------------------------

const longText = 6000;

function evaluatedText(a) {
  const text = a.text ?? '', host = el('p', {class: 'tokens said', tabindex: 0}, visible(a.all ? text : text.slice(0, longText)) || '(nothing)');
  const rest = a.all || text.length <= longText ? null : el('button', {type: 'button', class: 'quiet', onclick: () => { a.all = true; drawEvaluated(); }}, 'Show all of it');
  return [host, rest];
}

function evaluatedNode(a) {
  const word = verdictWord(a.verdict), hasRead = a.extracted !== null && a.extracted !== undefined && a.extracted !== '';
  return el('article', {class: 'answer ' + word, 'aria-label': 'Answer ' + a.sample + ', ' + word},
    el('header', {}, el('h4', {}, 'Answer ' + a.sample), el('span', {class: 'verdict'}, verdictMark(a.verdict) + ' ' + word),
      a.finish === 'length' ? el('span', {class: 'badge warn'}, 'cut off') : null, a.readable === false ? el('span', {class: 'badge'}, 'no answer found') : null),
    evaluatedText(a),
    el('dl', {class: 'facts'}, [['reward', short(a.reward)], ['tokens', whole(a.tokens)]].map(([k, x]) => el('div', {}, el('dt', {}, k), el('dd', {}, x)))),
    a.reason || hasRead ? el('footer', {}, a.reason ? el('p', {}, a.reason) : null, hasRead ? el('p', {class: 'about'}, 'read as ', el('code', {}, String(a.extracted))) : null) : null);
}

function drawEvaluated() {
  const g = evaluations.group;
  if (!g) return;
  const right = g.answers.filter((a) => a.verdict === 1).length;
  evaluations.detail.replaceChildren(
    el('header', {class: 'group-head'}, el('h2', {tabindex: -1}, 'Step ' + whole(g.step) + ': ' + right + ' of ' + g.answers.length + ' right'), el('p', {class: 'about'}, g.set + ', ' + g.id),
      el('details', {class: 'prompt', open: g.prompt.length < 1200}, el('summary', {}, 'Problem'), el('p', {class: 'tokens'}, visible(g.prompt)))),
    el('div', {class: 'answers'}, g.answers.map(evaluatedNode)),
    g.of > g.answers.length ? el('p', {class: 'note'}, 'the first ' + g.answers.length + ' of ' + whole(g.of) + ' answers') : '');
}

async function loadEvaluated(focus) {
  const at = {run: evaluations.run, step: evaluations.list.step, problem: evaluations.key};
  try {
    const group = await ask('evaluation', at);
    if (at.problem !== evaluations.key || at.step !== evaluations.list?.step) return; // another was chosen meanwhile
    evaluations.group = group;
    drawEvaluated();
    if (focus) evaluations.detail.querySelector('h2').focus({preventScroll: true});
  } catch (e) {
    evaluations.group = null;
    evaluations.detail.replaceChildren(failure(e));
  }
}

// ---- the list of a step -----------------------------------------------------------------------------------------------

function evaluatedLink(g) {
  const [id, text] = evaluations.list.problems[g.key], right = g.lines.filter(isRight).length;
  const absent = exported && !exported[address('evaluation', {run: evaluations.run, step: evaluations.list.step, problem: g.key})];
  return el('li', {}, el('a', {href: evaluationHref(evaluations.run, evaluations.list.step, g.key), 'aria-current': g.key === evaluations.key ? 'true' : null, class: absent ? 'absent' : null},
    el('span', {class: 'group-text'}, text || id),
    el('span', {class: 'dots', role: 'img', 'aria-label': right + ' of ' + g.lines.length + ' right'}, g.lines.slice(0, 16).map((l) => el('i', {class: verdictWord(l[5])})))));
}

function drawEvaluations() {
  const list = evaluations.list, kind = groupKinds.find((k) => k[0] === evaluations.kind)[2], filter = evaluations.filter.toLowerCase();
  const matches = (g) => !filter || list.problems[g.key].some((t) => t.toLowerCase().includes(filter)) || g.lines.some((l) => String(l[8] ?? '').toLowerCase().includes(filter));
  const inSet = (g) => evaluations.set === 'all' || list.problems[g.key][2] === evaluations.set;
  const groups = groupsOf(list).filter((g) => kind(g) && inSet(g) && matches(g)), right = groups.reduce((n, g) => n + g.lines.filter(isRight).length, 0);
  const answers = groups.reduce((n, g) => n + g.lines.length, 0);
  if ((!evaluations.key || !list.problems[evaluations.key]) && groups.length) {
    evaluations.key = groups[0].key;
    loadEvaluated(false);
  }
  evaluations.count.textContent = plural(groups.length, 'problem') + ', ' + whole(right) + ' of ' + plural(answers, 'answer') + ' right' +
    (list.of > list.lines.length ? ', the first ' + whole(list.lines.length) + ' of ' + whole(list.of) + ' listed' : '') + (list.damaged ? ', ' + list.damaged + ' damaged' : '');
  evaluations.listNode.replaceChildren(...groups.slice(0, 400).map(evaluatedLink), ...(groups.length > 400 ? [el('li', {class: 'about'}, 'and ' + whole(groups.length - 400) + ' more: search')] : []));
}

// The same problem at another step: its random numbers are the same, so what differs is the model.
function drawEvaluationSteps() {
  const {steps, step} = evaluations.list, has = (s) => !exported || exported[address('evaluations', {run: evaluations.run}) + '&step=' + s];
  const there = steps.filter(has), at = there.indexOf(step), go = (s) => { location.hash = evaluationHref(evaluations.run, s, evaluations.key); };
  const arrow = (text, label, to) => el('button', {type: 'button', class: 'quiet', 'aria-label': label, disabled: to === undefined, onclick: () => go(to)}, text);
  evaluations.steps.replaceChildren(arrow('←', 'evaluation before', there[at - 1]),
    choice(there.map((s) => [String(s), 'step ' + whole(s)]), String(step), (s) => go(Number(s)), {'aria-label': 'Evaluated step'}), arrow('→', 'next evaluation', there[at + 1]));
  const sets = [...new Set(Object.values(evaluations.list.problems).map((p) => p[2]))];
  if (!sets.includes(evaluations.set)) evaluations.set = 'all';
  evaluations.sets.hidden = sets.length < 2;
  evaluations.sets.replaceChildren(sets.length < 2 ? '' : field('Set', choice([['all', 'all'], ...sets.map((s) => [s, s])], evaluations.set, (v) => { evaluations.set = v; drawEvaluations(); })));
}

async function loadEvaluations(focus) {
  const at = [evaluations.run, evaluations.step].join();
  try {
    const list = await ask('evaluations', {run: evaluations.run, step: evaluations.step});
    if (at !== [evaluations.run, evaluations.step].join()) return;
    evaluations.list = list;
    evaluations.listOf = evaluations.run;
    evaluations.step = list.step;
    drawEvaluationSteps();
    const known = evaluations.key && list.problems[evaluations.key];
    drawEvaluations();
    if (known) loadEvaluated(focus);
  } catch (e) {
    evaluations.list = null;
    evaluations.count.textContent = '';
    evaluations.listNode.replaceChildren(el('li', {}, failure(e)));
  }
}

function layEvaluations(main) {
  const search = el('input', {type: 'search', value: evaluations.filter, placeholder: 'problem or answer', oninput: later(120, () => { evaluations.filter = search.value.trim(); if (evaluations.list) drawEvaluations(); })});
  evaluations.listNode = el('ul', {class: 'groups'});
  evaluations.count = el('p', {class: 'note', role: 'status'});
  evaluations.steps = el('span', {class: 'steps'});
  evaluations.sets = el('div', {hidden: true});
  evaluations.detail = el('section', {class: 'group', 'aria-label': 'Answers to one problem'});
  main.replaceChildren(el('h1', {class: 'away'}, 'Evaluations'),
    el('form', {class: 'tools', 'aria-label': 'Which answers', onsubmit: (e) => e.preventDefault()},
      runChoice(evaluations.run, (v) => { location.hash = '#/evaluations/' + v; }),
      el('div', {class: 'field step-field'}, el('span', {}, 'Evaluation'), evaluations.steps), evaluations.sets, field('Search', search),
      field('Show', choice(groupKinds.map((k) => [k[0], k[1]]), evaluations.kind, (v) => { evaluations.kind = v; if (evaluations.list) drawEvaluations(); }))),
    el('div', {class: 'two'}, el('section', {class: 'list', 'aria-label': 'Problems of the evaluation'}, evaluations.count, evaluations.listNode), evaluations.detail));
}

function wantedEvaluation(run, text) {
  const last = runs[run].state.last_evaluation, wanted = text ? Number(text) : last;
  if (!exported || last < 0) return wanted;
  const head = address('evaluations', {run}) + '&step=';
  const steps = Object.keys(exported).filter((k) => k.startsWith(head)).map((k) => Number(k.slice(head.length)));
  return steps.reduce((best, x) => Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best, steps[0] ?? wanted);
}

// #/evaluations[/RUN[/STEP[/KEY]]]
function evaluationsView(main, parts, again) {
  const run = Math.min(runs.length - 1, Number(parts[0]) || 0), state = runs[run].state;
  evaluations.run = run;
  if (!again) layEvaluations(main);
  if (!(state.last_evaluation >= 0)) {
    evaluations.list = null;
    evaluations.count.textContent = '';
    evaluations.steps.replaceChildren();
    evaluations.listNode.replaceChildren();
    evaluations.detail.replaceChildren(empty(state.sft ? 'assay sft keeps no answers of its evaluations.' : 'No evaluation is kept: eval.data of the recipe asks for them, and save.rollouts: all keeps them.'));
    return;
  }
  const step = wantedEvaluation(run, parts[1]), same = again && evaluations.listOf === run && evaluations.list?.step === step;
  evaluations.step = step;
  if (parts[2]) evaluations.key = parts[2];
  if (!same) return void loadEvaluations(false);
  drawEvaluations();
  if (evaluations.key) loadEvaluated(Boolean(parts[2]));
}

// A run that goes on: where the newest was shown, the next is shown as it comes; else only the choice of steps grows.
async function updateEvaluations() {
  const state = runs[evaluations.run].state, list = evaluations.list;
  if (list && list.steps[list.steps.length - 1] === state.last_evaluation) return;
  if (list && list.step !== list.steps[list.steps.length - 1]) {
    list.steps.push(state.last_evaluation);
    drawEvaluationSteps();
  } else if (state.last_evaluation >= 0) {
    location.replace(evaluationHref(evaluations.run, state.last_evaluation, evaluations.key));
  }
}

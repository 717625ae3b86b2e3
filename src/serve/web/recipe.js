'use strict';
// Recipe: every key with its value and where that came from, the runs beside each other. Log: the end of log.txt.

const recipe = {query: '', kind: 'all', rows: null};

function originClass(origin) {
  return origin === 'default' || origin === '' ? 'default' : origin === 'command line' ? 'command' : 'file';
}

function drawRecipe() {
  const keys = [...new Set(recipe.rows.flatMap((rows) => rows.map((r) => r[0])))], query = recipe.query.toLowerCase();
  const find = (i, key) => recipe.rows[i].find((r) => r[0] === key);
  const kept = keys.filter((key) => {
    const found = recipe.rows.map((_, i) => find(i, key));
    const text = key + ' ' + found.map((r) => r ? r[1] + ' ' + r[2] : '').join(' ');
    if (query && !text.toLowerCase().includes(query)) return false;
    if (recipe.kind === 'set') return found.some((r) => r && originClass(r[2]) !== 'default');
    if (recipe.kind === 'differ') return new Set(found.map((r) => r ? r[1] : null)).size > 1;
    return true;
  });
  // roles are written out: narrow windows lay the rows out as blocks
  const cell = (r, i) => [el('td', {class: 'value', role: 'cell', 'data-run': runs.length > 1 ? runs[i].state.name : null}, r ? el('code', {}, r[1]) : el('span', {class: 'about'}, 'not there')),
    el('td', {role: 'cell'}, r && r[2] ? el('span', {class: 'origin ' + originClass(r[2])}, r[2]) : '')];
  const head = el('tr', {role: 'row'}, el('th', {scope: 'col'}, 'Key'), runs.flatMap((run) => [el('th', {scope: 'col'}, runs.length > 1 ? run.state.name : 'Value'), el('th', {scope: 'col'}, 'From')]));
  recipe.note.textContent = plural(kept.length, 'key') + ' of ' + keys.length;
  recipe.body.replaceChildren(kept.length ? el('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Recipe'},
    el('table', {class: 'recipe', role: 'table'}, el('thead', {}, head), el('tbody', {role: 'rowgroup'}, kept.map((key) => el('tr', {role: 'row'}, el('th', {scope: 'row', role: 'rowheader'}, el('code', {}, key)), recipe.rows.flatMap((_, i) => cell(find(i, key), i))))))) : empty('No key is like that.'));
}

async function recipeView(main) {
  const search = el('input', {type: 'search', value: recipe.query, placeholder: 'key, value or origin', oninput: later(120, () => { recipe.query = search.value.trim(); drawRecipe(); })});
  const kinds = [['all', 'every key'], ['set', 'what was set'], ...(runs.length > 1 ? [['differ', 'what differs']] : [])];
  recipe.note = el('p', {class: 'note', role: 'status'});
  recipe.body = el('div', {});
  main.replaceChildren(el('h1', {class: 'away'}, 'Recipe'),
    el('form', {class: 'tools', 'aria-label': 'Which keys', onsubmit: (e) => e.preventDefault()}, field('Search', search),
      field('Show', choice(kinds, recipe.kind, (v) => { recipe.kind = v; drawRecipe(); }))), recipe.note, recipe.body);
  try {
    recipe.rows = await Promise.all(runs.map(async (run) => (await ask('recipe', {run: run.index})).rows));
    drawRecipe();
  } catch (e) {
    recipe.body.replaceChildren(failure(e));
  }
}

const log = {run: 0, query: '', text: ''};

function drawLog() {
  const query = log.query.toLowerCase(), lines = log.text.split('\n').filter((l) => !query || l.toLowerCase().includes(query));
  const end = log.body.scrollHeight - log.body.scrollTop - log.body.clientHeight < 40;
  log.body.textContent = lines.join('\n') || 'nothing';
  if (end) log.body.scrollTop = log.body.scrollHeight;
}

async function loadLog() {
  try {
    log.text = (await ask('log', {run: log.run})).text;
    drawLog();
  } catch (e) {
    log.body.textContent = e.message;
  }
}

function logView(main) {
  const search = el('input', {type: 'search', value: log.query, oninput: later(120, () => { log.query = search.value.trim(); drawLog(); })});
  log.body = el('pre', {class: 'log', tabindex: 0, 'aria-label': 'The end of log.txt'});
  main.replaceChildren(el('h1', {class: 'away'}, 'Log'),
    el('form', {class: 'tools', 'aria-label': 'Which lines', onsubmit: (e) => e.preventDefault()}, runChoice(log.run, (v) => { log.run = v; loadLog(); }), field('Search', search)), log.body);
  loadLog();
}

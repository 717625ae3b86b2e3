'use strict';
// What every view uses: elements, numbers as text, the runs' data. Whatever comes from a run enters the page as text.

const byId = (id) => document.getElementById(id);

// el('p', {class: 'x', onclick: f}, 'text', child, ...): attributes, properties for on*, children; null children are left out
function el(tag, attributes, ...children) {
  const svg = tag.startsWith('svg:');
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

const store = {
  get(name, fallback) {
    try { return JSON.parse(localStorage.getItem('assay.' + name)) ?? fallback; } catch { return fallback; }
  },
  set(name, value) {
    try { localStorage.setItem('assay.' + name, JSON.stringify(value)); } catch { /* a private window keeps nothing */ }
  },
};

// ---- numbers ----------------------------------------------------------------------------------------------------

const isNumber = (x) => typeof x === 'number' && Number.isFinite(x);

function short(x) {
  if (!isNumber(x)) return '–';
  const size = Math.abs(x);
  if (x === 0) return '0';
  if (size >= 1e6 || size < 1e-3) return x.toExponential(2);
  if (size >= 1000) return Math.round(x).toLocaleString('en');
  return Number(x.toPrecision(4)).toString();
}
const whole = (x) => isNumber(x) ? Math.round(x).toLocaleString('en') : '–';
function percent(x, digits = 1) {
  if (!isNumber(x)) return '–';
  const least = 10 ** -digits;
  return x > 0 && 100 * x < least ? '< ' + least.toFixed(digits) + ' %' : (100 * x).toFixed(digits) + ' %';
}
const signed = (x) => (x > 0 ? '+' : '') + short(x);

function duration(seconds) {
  if (!isNumber(seconds)) return '–';
  const s = Math.round(seconds);
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + String(s % 60).padStart(2, '0') + ' s';
  return Math.floor(s / 3600) + ' h ' + String(Math.floor(s % 3600 / 60)).padStart(2, '0') + ' min';
}

const plural = (n, one, many) => whole(n) + ' ' + (n === 1 ? one : many || one + 's');

// ---- data: asked of the server, or, in an exported file, found in it ---------------------------------------------

const exported = byId('data') ? JSON.parse(byId('data').textContent) : null;

function address(path, query) {
  const pairs = Object.entries(query || {}).map(([k, v]) => encodeURIComponent(k) + '=' + encodeURIComponent(v));
  return path + (pairs.length ? '?' + pairs.join('&') : '');
}

// live: further parameters that only a server understands
async function ask(path, query, live) {
  if (exported) {
    const found = exported[address(path, query)];
    if (!found) throw new Error('not in this file, which holds a part of the run; assay watch RUN shows all of it');
    return found;
  }
  const reply = await fetch('api/' + address(path, {...query, ...live}), {cache: 'no-store'});
  const body = await reply.json().catch(() => null);
  if (!reply.ok || !body) throw new Error(body?.error?.message || 'the server answered ' + reply.status);
  return body;
}

// steps of a run whose rollouts an exported file holds
function exportedSteps(run) {
  const head = address('rollouts', {run}) + '&step=';
  return Object.keys(exported).filter((k) => k.startsWith(head)).map((k) => Number(k.slice(head.length))).sort((a, b) => a - b);
}

// ---- the runs -----------------------------------------------------------------------------------------------------

const runs = []; // {index, state, metrics: {generation, step, elapsed, series, low, high}, shown}

function takeMetrics(run, reply) {
  let m = run.metrics;
  if (!m || m.generation !== reply.generation || reply.from === 0) {
    run.metrics = m = {generation: reply.generation, step: [], elapsed: [], series: {}, low: {}, high: {}};
  }
  m.stride = reply.stride;
  const splice = (list, more) => { list.length = reply.from; for (const x of more) list.push(x); };
  splice(m.step, reply.step);
  splice(m.elapsed, reply.elapsed);
  for (const part of ['series', 'low', 'high']) {
    for (const [name, values] of Object.entries(reply[part] || {})) {
      const list = m[part][name] ||= [];
      while (list.length < reply.from) list.push(null);
      splice(list, values);
    }
  }
}

async function loadMetrics(run) {
  const m = run.metrics;
  // the last bucket may have been filled further, so it is asked for again
  const live = m && m.step.length ? {generation: m.generation, from: m.step.length - 1} : {};
  takeMetrics(run, await ask('metrics', {run: run.index}, live));
}

// [first, last] of a metric, over the steps that have it
function ends(run, name) {
  const list = run.metrics?.series[name] || [];
  const has = list.filter(isNumber);
  return has.length ? [has[0], has[has.length - 1]] : null;
}

// ---- parts of pages -----------------------------------------------------------------------------------------------

function field(label, control) {
  return el('label', {class: 'field'}, el('span', {}, label), control);
}

function choice(options, value, change, attributes) {
  const node = el('select', {...attributes, onchange: () => change(node.value)},
    options.map(([key, text]) => el('option', {value: key, selected: key === value}, text)));
  return node;
}

function later(milliseconds, f) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => f(...args), milliseconds); };
}

function runChoice(value, change) {
  if (runs.length < 2) return null;
  return field('Run', choice(runs.map((r) => [String(r.index), r.state.name]), String(value), (v) => change(Number(v))));
}

const failure = (e) => el('p', {class: 'empty', role: 'alert'}, String(e.message || e));
const empty = (text) => el('p', {class: 'empty'}, text);

// History as a strip over steps: a visit's colour holds until the next one.
function strip(visits, first, last, label) {
  const span = Math.max(1, last - first + 1), cells = [];
  visits.forEach(([from, , right, of], i) => {
    const to = i + 1 < visits.length ? visits[i + 1][0] : last + 1;
    cells.push(el('svg:rect', {x: from - first, y: 0, width: Math.max(to - from, span / 200), height: 1, class: 'heat h' + Math.round(8 * right / of)}));
  });
  return el('svg:svg', {class: 'strip', viewBox: '0 0 ' + span + ' 1', preserveAspectRatio: 'none', role: 'img', 'aria-label': label}, cells);
}

function visitsInWords(visits) {
  if (!visits.length) return 'not asked';
  const rate = ([, , right, of]) => Math.round(100 * right / of) + ' %';
  const first = visits[0], last = visits[visits.length - 1];
  return 'solved ' + rate(first) + ' at step ' + first[0] + (visits.length > 1 ? ', ' + rate(last) + ' at step ' + last[1] : '');
}

"""Drives `assay watch` by HTTP and, through chromedriver's WebDriver protocol, by a headless browser. Standard library
only. ASSAY_SHOTS=FOLDER keeps screenshots."""
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT, ASSAY = os.environ['ASSAY_SOURCE_DIR'], os.environ['ASSAY_BINARY']
SHOTS = os.environ.get('ASSAY_SHOTS')
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print('FAILED:', what, flush=True)


# ---- runs -----------------------------------------------------------------------------------------------------------

SMALL = ['rollout.problems=8', 'eval.problems=8']


def train(folder, *more):
    subprocess.run([ASSAY, 'train', 'recipes/demo.yaml', *SMALL, *more, '--run', folder, '--quiet'], cwd=ROOT, check=True)


HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


def make_hostile(folder, like):
    """A run whose every text tries to be markup."""
    shutil.copytree(like, folder, ignore=shutil.ignore_patterns('events*', 'curve.svg', 'evaluations'))
    with open(folder + '/recipe.yaml', 'a') as f:
        f.write('hostile: "%s"  # %s\n' % (HOSTILE.replace('"', '\\"'), HOSTILE))
    with open(folder + '/log.txt', 'a') as f:
        f.write(HOSTILE + '\n')
    with open(folder + '/metrics.jsonl', 'a') as f:
        f.write(json.dumps({'step': 4, 'solved': 1, HOSTILE: 2}) + '\nno metrics ' + HOSTILE + '\n')
    lines = []
    for i in range(4):
        lines.append(json.dumps({'step': 4, 'problem': HOSTILE, 'group': 0, 'attempt': 0, 'rollout': i, 'ids': [57, 58, 44, 0], 'from': 2,
                                 'logp': [-0.1, -3], 'logp_behaviour': [-0.1, -3], 'entropy': [0.5, 2], 'reward': i % 2, 'channels': {'reward': i % 2, HOSTILE: 1},
                                 'advantage': [1, -1], 'text': HOSTILE, 'finish': 'stop', 'context': HOSTILE,
                                 'verdict': {'reward': i % 2, 'correct': bool(i % 2), 'extracted': HOSTILE, 'reason': HOSTILE}}, separators=(',', ':')))
    write_zstd(folder + '/rollouts/000004.jsonl.zst', lines)
    os.makedirs(folder + '/evaluations')
    write_zstd(folder + '/evaluations/000004.jsonl.zst', [json.dumps(
        {'problem': HOSTILE, 'sample': i, 'reward': 0, 'correct': False, 'readable': True, 'extracted': HOSTILE, 'tokens': 5, 'finish': HOSTILE,
         'reason': HOSTILE, 'set': HOSTILE, 'prompt': HOSTILE, 'text': HOSTILE}) for i in range(2)])


def write_zstd(path, lines):
    """One raw block: zstd without a library."""
    body = ('\n'.join(lines) + '\n').encode()
    assert len(body) < 1 << 17
    with open(path, 'wb') as f:
        f.write(b'\x28\xb5\x2f\xfd\xa0' + len(body).to_bytes(4, 'little') + (len(body) << 3 | 1).to_bytes(3, 'little') + body)


@contextlib.contextmanager
def watching(*runs):
    server = subprocess.Popen([ASSAY, 'watch', *runs, '--port', '0', '--json', '--quiet'], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(server.stdout.readline())['url'].rstrip('/')
    finally:
        server.send_signal(signal.SIGINT)
        status = server.wait(20)
        check(status == 0, 'Ctrl-C ends the server with status 0: %s' % status)


# ---- the server -----------------------------------------------------------------------------------------------------

def request(url, path, method='GET', headers=None):
    link = http.client.HTTPConnection(re.sub('^http://', '', url), timeout=20)
    link.request(method, path, headers=headers or {})
    reply = link.getresponse()
    body = reply.read()
    link.close()
    return reply.status, reply.headers, body


def test_server(run):
    with watching(run) as url:
        status, headers, body = request(url, '/')
        check(status == 200 and b'<main' in body, 'the page: %s' % status)
        policy = headers['Content-Security-Policy'] or ''
        check("default-src 'none'" in policy and "script-src 'self'" in policy and 'unsafe' not in policy, 'policy: ' + policy)
        check(headers['X-Content-Type-Options'] == 'nosniff' and headers['Cache-Control'] == 'no-store', 'headers')
        check(b'onclick' not in body and b'javascript:' not in body, 'the page has inline handlers')
        for path in ('/watch.css', '/watch.js', '/chart.js'):
            status, headers, _ = request(url, path)
            check(status == 200 and headers['Content-Security-Policy'] == policy, path)
        check(request(url, '/', headers={'Host': 'evil.example'})[0] == 421, 'another Host is refused')
        check(request(url, '/', headers={'Host': 'evil.example:%s' % url.split(':')[-1]})[0] == 421, 'another Host with the port is refused')
        check(request(url, '/api/state', 'POST')[0] in (404, 405), 'POST is refused')
        for path in ('/recipe.yaml', '/../recipe.yaml', '/%2e%2e/recipe.yaml', '/api/../recipe.yaml', '/api/', '/api/recipe?run=..', '/api/log?run=0/..', '/watch.jsx'):
            check(request(url, path)[0] in (400, 404), 'refused: ' + path)
        for site, status in (('cross-site', 403), ('same-site', 403), ('same-origin', 200), ('none', 200)):
            check(request(url, '/api/state', headers={'Sec-Fetch-Site': site})[0] == status, 'a question from ' + site)
        state = json.loads(request(url, '/api/state')[2])
        check(state['runs'][0]['step'] == 3, 'state: %s' % state)
        check(b'rollout.problems' in request(url, '/api/recipe?run=0')[2], 'recipe')
        check(len(json.loads(request(url, '/api/metrics?run=0')[2])['step']) == 4, 'metrics')
        test_alternatives(lambda path: json.loads(request(url, '/api/' + path)[2]))


def test_alternatives(get):
    """By the very checkpoint that sampled, the drawn token has the recorded probability, to the last bit."""
    key = get('rollouts?run=0&step=3')['lines'][0][0]
    group = get('group?run=0&step=3&problem=' + key)
    for rollout in group['rollouts'][:3]:
        found = get('alternatives?run=0&step=3&problem=%s&attempt=0&rollout=%d' % (key, rollout['rollout']))
        check(found['exact'] and len(found['tokens']) == rollout['tokens'], 'alternatives by checkpoint 2: %s' % str(found)[:200])
        for token, logp, others in zip(rollout['ids'], rollout['logp'], found['tokens']):
            check([x[2] for x in others] == sorted((x[2] for x in others), reverse=True), 'likeliest first')
            check(all(x[2] == logp for x in others if x[1] == token), 'alternatives differ from the record: %s %s' % (logp, others))
    first = get('rollouts?run=0&step=1')['lines'][0]
    check(not get('alternatives?run=0&step=1&problem=%s&attempt=0&rollout=0' % first[0])['exact'], 'step 1 was sampled by no checkpoint')


# ---- a browser ------------------------------------------------------------------------------------------------------

KEY = {'right': '\ue014', 'left': '\ue012', 'enter': '\ue007', 'tab': '\ue004', 'escape': '\ue00c', 'home': '\ue011'}


class Browser:
    def __init__(self, chromium, driver):
        self.process = subprocess.Popen([driver, '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            found = re.search(r'on port ([1-9]\d*)', line)
            if found:
                self.port = int(found[1])
                break
        options = {'binary': chromium, 'args': ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--window-size=1280,900']}
        self.session = self.call('POST', '/session', {'capabilities': {'alwaysMatch': {'browserName': 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}})['sessionId']
        self.path = '/session/' + self.session

    def call(self, method, path, body=None):
        link = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        link.request(method, path, json.dumps(body) if body is not None else None, {'Content-Type': 'application/json'})
        value = json.loads(link.getresponse().read())['value']
        link.close()
        if isinstance(value, dict) and 'error' in value:
            raise RuntimeError(value['message'].split('\n')[0])
        return value

    def close(self):
        with contextlib.suppress(Exception):
            self.call('DELETE', self.path)
        self.process.terminate()
        self.process.wait(10)

    def js(self, script, *arguments):
        return self.call('POST', self.path + '/execute/sync', {'script': script, 'args': list(arguments)})

    def cdp(self, command, **parameters):
        return self.call('POST', self.path + '/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def open(self, url):
        self.call('POST', self.path + '/url', {'url': 'about:blank'})  # so that a change of the fragment is a new page too
        self.call('POST', self.path + '/url', {'url': url})

    def find(self, css):
        return list(self.call('POST', self.path + '/element', {'using': 'css selector', 'value': css}).values())[0]

    def click(self, css):
        self.js('document.querySelector(arguments[0]).scrollIntoView({block: "center"})', css)
        self.call('POST', '%s/element/%s/click' % (self.path, self.find(css)), {})

    def keys(self, *keys):
        actions = [a for k in keys for a in ({'type': 'keyDown', 'value': KEY.get(k, k)}, {'type': 'keyUp', 'value': KEY.get(k, k)})]
        self.call('POST', self.path + '/actions', {'actions': [{'type': 'key', 'id': 'k', 'actions': actions}]})

    def hover(self, css):
        self.js('document.querySelector(arguments[0]).scrollIntoView({block: "center"})', css)
        move = {'type': 'pointerMove', 'duration': 0, 'x': 0, 'y': 0, 'origin': {'element-6066-11e4-a52e-4f735466cecf': self.find(css)}}
        self.call('POST', self.path + '/actions', {'actions': [{'type': 'pointer', 'id': 'p', 'actions': [move]}]})

    def wait(self, script, what, seconds=20):
        end = time.time() + seconds
        while time.time() < end:
            with contextlib.suppress(RuntimeError):  # what it asks of may not be there yet
                if self.js('return ' + script):
                    return True
            time.sleep(0.1)
        check(False, 'waited in vain: ' + what)
        return False

    def size(self, width, height=900):
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def scheme(self, name, motion='no-preference'):
        self.cdp('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': name}, {'name': 'prefers-reduced-motion', 'value': motion}])

    def shot(self, name):
        if SHOTS:
            with open(os.path.join(SHOTS, name + '.png'), 'wb') as f:
                f.write(base64.b64decode(self.call('GET', self.path + '/screenshot')))

    def quiet(self, where):
        lines = [e['message'] for e in self.call('POST', self.path + '/se/log', {'type': 'browser'}) if e['level'] == 'SEVERE']
        check(not lines, '%s: the console says %s' % (where, lines[:3]))


VIEWS = ('curves', 'problems', 'rollouts', 'evaluations', 'recipe', 'log')
DRAWN = '''[...document.querySelectorAll(".card canvas")].slice(0, 2).every((c) => {
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
  return n > 200; })'''
READY = {'evaluations': 'document.querySelectorAll(".answer .said").length > 0',
         'curves': 'document.querySelectorAll(".card").length > 10', 'problems': 'document.querySelectorAll(".problem").length > 1',
         'rollouts': 'document.querySelectorAll(".answer .token").length > 3', 'recipe': 'document.querySelectorAll(".recipe tbody tr").length > 20',
         'log': 'document.querySelector(".log").textContent.length > 50'}


def visit(browser, url, view):
    browser.open(url + '#/' + view)
    return browser.wait(READY[view.split('/')[0]], 'the view ' + view)


def test_views(browser, url, name=''):
    """Every view, wide and narrow, light and dark: it stands, nothing is wider than the window, everything has a name."""
    for scheme in ('light', 'dark'):
        browser.scheme(scheme)
        for width in (1280, 390):
            browser.size(width, 900 if width > 600 else 844)
            for view in VIEWS:
                visit(browser, url, view)
                if view == 'curves':
                    browser.wait(DRAWN, 'curves are drawn')
                wide = browser.js('return document.documentElement.scrollWidth')
                check(wide <= width, '%s at %d is %d wide' % (view, width, wide))
                unnamed = browser.js('''return [...document.querySelectorAll("input, select, button, a, canvas, [tabindex='0']")]
                  .filter((n) => n.checkVisibility() && !(n.labels && n.labels.length) && !n.getAttribute("aria-label") && !n.textContent.trim()).map((n) => n.outerHTML.slice(0, 80))''')
                check(not unnamed, '%s: without a name: %s' % (view, unnamed[:3]))
                check(browser.js('return document.querySelectorAll("h1").length') == 1, view + ': one h1')
                check(browser.js('return document.querySelectorAll("nav [aria-current=page]").length') == 1, view + ': the view is marked')
                low = browser.js(CONTRAST)
                check(not low, '%s, %s: contrast below 4.5: %s' % (view, scheme, low[:4]))
                browser.shot('%s%s-%d-%s' % (name, view, width, scheme))
    browser.quiet('views')
    browser.size(1280)
    browser.scheme('light')


# Texts whose colour and what lies behind it differ by less than 4.5 to 1 (WCAG AA); alpha is laid over what is behind.
CONTRAST = '''
const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const luminance = (c) => { const f = c.slice(0, 3).map((x) => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const behind = (n) => n ? over(parse(getComputedStyle(n).backgroundColor), behind(n.parentElement)) : [255, 255, 255, 1];
const bad = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let t = walker.nextNode(); t; t = walker.nextNode()) {
  const n = t.parentElement, s = getComputedStyle(n);
  if (!t.data.trim() || !n.checkVisibility() || n.closest('.away, noscript, script, option, svg, :disabled') || (n.closest('.skip'))) continue;
  const b = behind(n), c = over(parse(s.color), b), x = luminance(c), y = luminance(b);
  const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  if (ratio < 4.5) bad.push(n.className + ' "' + t.data.trim().slice(0, 20) + '" ' + ratio.toFixed(2));
}
return [...new Set(bad)];'''


def test_clicks(browser, url):
    visit(browser, url, 'curves')
    check('Mismatch' in browser.js('return document.querySelector(".tiles").textContent'), 'tiles')
    check(browser.js('return document.querySelector(".tile.good dd").firstChild.data') == '0', 'mismatch is 0')
    browser.click('.card[data-metric=entropy] .toggle:nth-child(2)')
    browser.wait('document.querySelectorAll(".card[data-metric=entropy] td").length > 2', 'a curve as a table')
    browser.click('.card[data-metric=grad_norm] .toggle:nth-child(1)')
    check(browser.js('return Chart.getChart(document.querySelector(".card[data-metric=grad_norm] canvas")).options.scales.y.type') == 'logarithmic', 'logarithmic axis')
    browser.js('const i = document.querySelector(".tools input[type=search]"); i.value = "eval"; i.dispatchEvent(new Event("input"))')
    browser.wait('[...document.querySelectorAll(".card")].every((c) => c.dataset.metric.includes("eval"))', 'metrics are found')
    browser.click('[data-view=problems]')
    browser.wait(READY['problems'], 'problems')
    count = browser.js('return document.querySelectorAll(".problem").length')
    browser.js('const i = document.querySelector(".tools input[type=search]"); i.value = "+4"; i.dispatchEvent(new Event("input"))')
    browser.wait('document.querySelectorAll(".problem").length < %d' % count, 'problems are found')
    check(browser.js('return [...document.querySelectorAll(".problem-text a")].every((a) => a.textContent.includes("+4"))'), 'the search finds what holds it')
    browser.click('.problem-text a')
    browser.wait('location.hash.startsWith("#/rollouts/") && document.querySelectorAll(".answer").length == 8', 'a problem opens its answers')
    check('+4' in browser.js('return document.querySelector(".prompt .tokens").textContent'), 'the prompt is shown')
    # colours
    browser.wait('document.querySelector(".answer .token[class*=p]")', 'tokens coloured by probability')
    browser.js('const s = document.querySelector("#colour"); s.value = "advantage"; s.dispatchEvent(new Event("change"))')
    browser.wait('![...document.querySelectorAll(".answer .token")].some((t) => /\\bp[1-8]/.test(t.className))', 'tokens coloured by advantage')
    browser.js('const s = document.querySelector("#colour"); s.value = "entropy"; s.dispatchEvent(new Event("change"))')
    # hover, keys, alternatives
    browser.hover('.answer .token')
    browser.wait('!document.querySelector("#inspector").hidden && document.querySelector("#inspector").textContent.includes("probability")', 'hover tells of a token')
    browser.js('document.querySelector(".answer .tokens").focus()')
    browser.keys('home', 'right')
    browser.wait('document.querySelector(".token.here") && document.querySelector(".token.here").dataset.i == "1"', 'arrow keys go through tokens')
    check('token 2' in browser.js('return document.querySelector(".answer .away[aria-live]").textContent'), 'and are said aloud')
    browser.keys('escape')
    browser.wait('document.querySelector("#inspector").hidden', 'escape closes it')
    browser.click('.answer footer button')
    browser.wait('[...document.querySelectorAll(".answer footer .about")].some((p) => p.textContent.includes("checkpoint"))', 'alternatives are computed')
    browser.hover('.answer .token')
    browser.wait('document.querySelectorAll("#inspector .alternatives tr").length == 6', 'alternatives on hover')
    browser.shot('inspector')
    # steps
    step = browser.js('return document.querySelector(".steps input[type=number]").value')
    browser.click('.steps button:%s-child' % ('first' if step != '1' else 'last'))
    browser.wait('document.querySelector(".steps input[type=number]").value != "%s" && document.querySelectorAll(".answer").length' % step, 'another step')
    # evaluations: the same problem at another step
    browser.click('[data-view=evaluations]')
    browser.wait(READY['evaluations'], 'evaluations')
    check('reward' in browser.js('return document.querySelector(".answer .facts").textContent'), 'how an answer was judged')
    browser.click('.groups li:nth-child(3) a')
    browser.wait('document.querySelector(".groups li:nth-child(3) a[aria-current]")', 'a problem of the evaluation')
    asked = browser.js('return document.querySelector(".prompt .tokens").textContent')
    check(asked.endswith('='), 'the problem is shown: ' + asked)
    browser.click('.steps button:first-child')
    browser.wait('document.querySelector("h2").textContent.startsWith("Step 0:")', 'the evaluation before')
    check(browser.js('return document.querySelector(".prompt .tokens").textContent') == asked, 'and the same problem')
    browser.js('const s = [...document.querySelectorAll(".tools select")].pop(); s.value = "wrong"; s.dispatchEvent(new Event("change"))')
    browser.wait('[...document.querySelectorAll(".groups .dots i")].every((d) => !d.classList.contains("right"))', 'what was not solved')
    # the recipe
    browser.click('[data-view=recipe]')
    browser.wait(READY['recipe'], 'recipe')
    all_rows = browser.js('return document.querySelectorAll(".recipe tbody tr").length')
    browser.js('const s = document.querySelector(".tools select"); s.value = "set"; s.dispatchEvent(new Event("change"))')
    browser.wait('document.querySelectorAll(".recipe tbody tr").length < %d' % all_rows, 'what was set')
    check(browser.js('return document.querySelector(".recipe tbody").textContent').count('recipes/demo.yaml') > 5, 'origins')
    browser.click('#theme')
    browser.click('#theme')
    check(browser.js('return document.documentElement.dataset.theme') == 'dark', 'the theme button')
    browser.click('#theme')
    # by keyboard alone: the first stop is the way past the head
    browser.open(url)
    browser.wait(READY['curves'], 'curves')
    browser.keys('tab')
    check(browser.js('return document.activeElement.className') == 'skip', 'the skip link is first')
    browser.quiet('clicks')


def test_live(browser, folder):
    trainer = subprocess.Popen([ASSAY, 'train', 'recipes/demo.yaml', *SMALL, 'train.steps=100000', 'eval.every=0', 'train.schedule=constant', '--run', folder, '--quiet'], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        end = time.time() + 30
        while not os.path.exists(folder + '/metrics.jsonl') and time.time() < end:
            time.sleep(0.1)
        with watching(folder) as url:
            visit(browser, url, 'curves')
            browser.js('window.same = true')
            browser.wait('document.querySelector(".state").textContent == "running"', 'a run that is written is running')
            shown = 'Number(document.querySelector("#runs .about").textContent.match(/step ([\\d,]+)/)[1].replace(",", ""))'
            points = 'runs[0].metrics.step.length'
            step, count = browser.js('return ' + shown), browser.js('return ' + points)
            browser.wait('%s > %d && %s > %d' % (shown, step, points, count), 'steps come by themselves')
            drawn = browser.js('return Chart.getChart(document.querySelector(".card[data-metric=solved] canvas")).data.datasets[0].data.length')
            browser.wait('Chart.getChart(document.querySelector(".card[data-metric=solved] canvas")).data.datasets[0].data.length > %d' % drawn, 'curves grow')
            trainer.send_signal(signal.SIGINT)
            trainer.wait(60)
            browser.wait('document.querySelector(".state").textContent == "stopped"', 'a run that was stopped says so')
            check(browser.js('return window.same'), 'without loading the page again')
            # the server goes away: the page says so
        browser.wait('!document.querySelector("#notice").hidden', 'a server that is gone is told')
    finally:
        if trainer.poll() is None:
            trainer.kill()
            trainer.wait()
    browser.call('POST', browser.path + '/se/log', {'type': 'browser'})  # refused connections are expected


def test_hostile(browser, folder):
    with watching(folder) as url:
        for view in ('curves', 'problems', 'rollouts/0/4', 'evaluations/0/4', 'recipe', 'log'):
            visit(browser, url, view)
            seen = browser.js('return document.body.textContent')
            check('onerror=' in seen, view + ': hostile text is shown as text')
            check(browser.js('return document.querySelectorAll("main img, main script").length') == 0, view + ': text became markup')
        browser.js('document.querySelector("[data-view=rollouts]").click()')
        time.sleep(0.5)
        check(browser.js('return window.hurt === undefined'), 'hostile text ran')
        browser.quiet('hostile')


def test_several(browser, runs):
    with watching(*runs) as url:
        visit(browser, url, 'curves')
        browser.wait('Chart.getChart(document.querySelector(".card[data-metric=solved] canvas")).data.datasets.length == 2', 'two runs in one card')
        browser.click('#runs label input')
        browser.wait('Chart.getChart(document.querySelector(".card[data-metric=solved] canvas")).data.datasets.length == 1', 'a run is hidden')
        visit(browser, url, 'recipe')
        browser.js('const s = document.querySelector(".tools select"); s.value = "differ"; s.dispatchEvent(new Event("change"))')
        browser.wait('[...document.querySelectorAll(".recipe tbody th")].some((t) => t.textContent == "train.lr")', 'what differs between runs')
        check(browser.js('return document.querySelectorAll(".recipe tbody tr").length') < 10, 'only what differs')
        browser.quiet('several runs')


def test_export(browser, run, file):
    subprocess.run([ASSAY, 'watch', run, '--export', file, '--quiet'], cwd=ROOT, check=True)
    with open(file) as f:
        text = f.read()
    check(not re.search(r'(src|href)="(?!data:|#)', text[:text.index('<style>')] + text[text.index('</style>'):text.index('id="data"')]), 'the file refers to others')
    if browser:
        url = 'file://' + file
        for view in VIEWS:
            visit(browser, url, view)
        visit(browser, url, 'curves')
        browser.wait(DRAWN, 'curves in the file')
        visit(browser, url, 'rollouts')
        browser.hover('.answer .token')
        browser.wait('!document.querySelector("#inspector").hidden', 'hover in the file')
        browser.quiet('the file')


def main():
    work = tempfile.mkdtemp(prefix='assay-watch-')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    driver = shutil.which('chromedriver')
    chart = os.path.exists('/usr/share/javascript/chart.js/chart.min.js')
    browser = None
    try:
        train(work + '/one', 'train.steps=3', 'save.every=1', 'save.keep=3')
        test_server(work + '/one')
        if not (chromium and driver and chart):
            print('skipped: the browser part; it needs chromium, chromium-driver and libjs-chart.js', flush=True)
            test_export(None, work + '/one', work + '/one.html')
            return
        train(work + '/two', 'train.steps=3', 'train.lr=1.0e-4')
        make_hostile(work + '/hostile', work + '/one')
        browser = Browser(chromium, driver)
        with watching(work + '/one') as url:
            test_views(browser, url)
            test_clicks(browser, url)
        test_several(browser, [work + '/one', work + '/two'])
        test_hostile(browser, work + '/hostile')
        test_export(browser, work + '/one', work + '/one.html')
        test_live(browser, work + '/live')
    finally:
        if browser:
            browser.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == '__main__':
    main()
    print('watch: %s' % ('%d failures' % len(failures) if failures else 'fine'))
    sys.exit(1 if failures else 0)

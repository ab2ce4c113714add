// The queue by keyboard. Every act is sent before it is forgotten: one that fails is tried again until it is on disk.
const box = document.querySelector('.labeller'), form = document.getElementById('label');
if (box && form) {
  const plan = box.dataset.plan, said = document.getElementById('said'), address = `/api/label?plan=${encodeURIComponent(plan)}`;
  let items = JSON.parse(document.getElementById('items').textContent), since = performance.now(), isBusy = false;
  const visible = text => text.replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, c => '\n\t'.includes(c) ? c : `\\u{${c.codePointAt(0).toString(16)}}`);
  const put = (id, text) => { document.getElementById(id).textContent = visible(text); };
  const show = () => {
    const item = items[0];
    if (!item) { location.reload(); return; }
    put('prompt', item.prompt ?? item.trace_id);
    put('answer', item.answer ?? '(the text is not kept)');
    document.getElementById('typeset-box').hidden = item.typeset === null;
    document.getElementById('typeset').innerHTML = item.typeset ?? '';
    document.getElementById('reference-box').hidden = item.reference === null;
    put('reference', item.reference ?? '');
    form.elements.trace_id.value = item.trace_id;
    form.elements.note.value = '';
    since = performance.now();
    document.getElementById('item').scrollIntoView({ block: 'nearest' });
  };
  const pause = time => new Promise(done => setTimeout(done, time));
  const send = async (path, body) => {
    for (let wait = 500; ; wait = Math.min(2 * wait, 10000)) {
      try {
        const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json', 'x-nilometer': '1' }, body: JSON.stringify(body) });
        const found = await answer.json();
        if (answer.ok) return found;
        if (answer.status < 500) throw Object.assign(new Error(found.error), { isFinal: true });
      } catch (error) {
        if (error.isFinal) throw error;
      }
      said.textContent = 'Not saved yet: the server does not answer. Trying again.';
      await pause(wait);
    }
  };
  const load = async () => {
    const found = await (await fetch(address, { headers: { 'x-nilometer': '1' } })).json();
    const p = found.progress, done = p.n_done + p.n_skipped;
    document.getElementById('progress').textContent = `${done} of ${p.n_items} done, ${p.n_mine} by you${p.milliseconds ? `, ${(p.milliseconds / 1000).toFixed(1)} s each` : ''}`;
    document.getElementById('meter').setAttribute('width', (100 * done / Math.max(p.n_items, 1)).toFixed(1));
    return found.items;
  };
  const act = async (name, body) => {
    if (isBusy) return;
    isBusy = true;
    box.dataset.busy = '1';
    try {
      const next = name === 'undo' ? null : items[1];
      const sent = send(name === 'undo' ? '/label/undo' : '/label/act', { plan, ...body });
      if (next) { items = [next]; show(); }
      await sent;
      said.textContent = name === 'undo' ? 'Taken back.' : `Saved: ${name}.`;
      const fresh = await load();
      const isShown = next && fresh[0] && fresh[0].trace_id === next.trace_id;
      items = fresh;
      if (!isShown) show();
    } catch (error) {
      said.textContent = error.message;
    } finally {
      isBusy = false;
      delete box.dataset.busy;
    }
  };
  const press = button => {
    const base = { trace_id: items[0].trace_id, note: form.elements.note.value, milliseconds: Math.round(performance.now() - since) };
    if (button.dataset.key === 'u') act('undo', {});
    else if (button.dataset.key === 's') act('skipped', { ...base, act: 'skip', reason: form.elements.reason.value });
    else act(button.textContent.trim().split(' ')[0].toLowerCase(), { ...base, act: 'label', correct: Number(button.value) });
  };
  form.addEventListener('submit', event => {
    event.preventDefault();
    if (event.submitter && event.submitter.dataset.key && document.activeElement !== form.elements.note) press(event.submitter);
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') { document.activeElement.blur(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches('input, select, textarea')) {
      if (event.key === 'Enter' && event.target === form.elements.note) { event.preventDefault(); event.target.blur(); }
      return;
    }
    if (event.key === 'n') { event.preventDefault(); form.elements.note.focus(); return; }
    if (event.key === 'm') { const one = document.getElementById('typeset-box'); one.open = !one.open; return; }
    const button = form.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (button) { event.preventDefault(); press(button); }
  });
}

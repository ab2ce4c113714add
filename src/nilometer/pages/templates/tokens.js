const answers = JSON.parse(document.getElementById('numbers').textContent);
// Characters that act (controls, turns of direction, invisible ones) are written as escapes.
const escape = c => '\\u{' + c.codePointAt(0).toString(16) + '}';
const visible = text => JSON.stringify(text).slice(1, -1).replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escape);
for (const [n, answer] of answers.entries()) {
  const box = document.querySelector(`[data-answer="${n}"]`), spans = [...box.querySelectorAll('.t')];
  const detail = document.getElementById(`detail-${n}`);
  const map = answer.map && Uint8Array.from(atob(answer.map.data), c => c.charCodeAt(0));
  const paint = i => {
    const [, L, H] = answer.map.shape, canvas = detail.querySelector('canvas'), context = canvas.getContext('2d');
    const image = context.createImageData(L, H);
    let sum = 0, known = 0;
    for (let l = 0; l < L; l++) for (let h = 0; h < H; h++) {
      const v = map[(i * L + l) * H + h], x = v === 255 ? null : v / 254;
      if (x !== null) { sum += x; known++; }
      const pixel = x === null ? [128, 128, 128, 255] : [Math.round(255 - 222 * x), Math.round(245 - 143 * x), Math.round(235 - 63 * x), 255];
      image.data.set(pixel, 4 * (h * L + l));
    }
    context.putImageData(image, 0, 0);
    canvas.setAttribute('aria-label', `attention entropy by layer and head, mean ${(sum / known).toFixed(2)} of 1`);
  };
  const show = i => {
    const t = answer.tokens[i];
    const rows = t.alternatives.map(([text, p], j) => {
      const tr = document.createElement('tr');
      for (const [k, cell] of [j + 1, text === null ? '(text not kept)' : visible(text), p.toFixed(3)].entries()) {
        const td = document.createElement('td');
        td.textContent = cell;
        if (k === 1) td.className = 'text';
        tr.append(td);
      }
      return tr;
    });
    detail.querySelector('.what').textContent = `token ${i + 1} of ${answer.tokens.length}: "${visible(t.text)}"`;
    detail.querySelector('.numbers').textContent = `confidence ${t.confidence.toFixed(2)} · probability ${t.probability.toFixed(3)}${t.entropy === null ? '' : ` · entropy ${t.entropy.toFixed(2)} nats · varentropy ${t.varentropy.toFixed(2)} nats²`}`;
    detail.querySelector('tbody').replaceChildren(...rows);
    spans.forEach((s, j) => { s.setAttribute('aria-selected', j === i); s.tabIndex = j === i ? 0 : -1; });
    if (map) paint(i);
  };
  spans.forEach((s, i) => {
    s.addEventListener('mouseenter', () => show(i));
    s.addEventListener('focus', () => show(i));
    s.addEventListener('click', () => { show(i); s.focus(); });
    s.addEventListener('keydown', e => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: spans.length - 1 }[e.key];
      if (to !== undefined && spans[to]) { e.preventDefault(); spans[to].focus(); }
    });
  });
  if (spans.length) show(answer.lowest);
}

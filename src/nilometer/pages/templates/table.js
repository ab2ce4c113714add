// Tables that sort, search, filter by state and fold. Without this script they are whole, the rest in a fold.
const FOLD = 50;
const make = (tag, values, ...children) => {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
};
const number = text => parseFloat(text.replace(/[,±\s]/g, '').replace('−', '-'));
const compare = (a, b, down) => {
  const x = number(a), y = number(b);
  if (isNaN(x) && isNaN(y)) return down * a.localeCompare(b, undefined, { numeric: true });
  return isNaN(x) ? 1 : isNaN(y) ? -1 : down * (x - y);
};

for (const box of document.querySelectorAll('.sortable')) {
  const table = box.querySelector('table'), body = table.tBodies[0], rest = box.querySelector('details.rest');
  if (rest) { body.append(...rest.querySelector('tbody').rows); rest.remove(); }
  const all = [...body.rows];
  if (all.length < 2) continue;
  const texts = new Map(all.map(row => [row, row.textContent.toLowerCase()]));
  let rows = all, most = FOLD;
  const search = make('input', { type: 'search', placeholder: 'Search', ariaLabel: 'Search rows' });
  const states = [...new Set(all.map(row => row.dataset.state).filter(Boolean))].sort();
  const filter = make('select', { ariaLabel: 'State' }, make('option', { value: '', textContent: 'Every state' }),
    ...states.map(state => make('option', { value: state, textContent: state })));
  const count = make('span', { className: 'soft', ariaLive: 'polite' });
  const more = make('button', { type: 'button', className: 'more' });
  const show = () => {
    const words = search.value.toLowerCase();
    const found = rows.filter(row => texts.get(row).includes(words) && (!filter.value || row.dataset.state === filter.value));
    body.replaceChildren(...found.slice(0, most));
    count.textContent = found.length === all.length ? `${all.length} rows` : `${found.length} of ${all.length} rows`;
    more.textContent = `Show all ${found.length}`;
    more.hidden = found.length <= most;
  };
  search.addEventListener('input', show);
  filter.addEventListener('change', show);
  more.addEventListener('click', () => { most = Infinity; show(); });
  if (all.length > 5) box.before(make('div', { className: 'controls' }, search, ...(states.length > 1 ? [filter] : []), count));
  box.append(more);
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = make('button', { type: 'button', textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const down = head.ariaSort === 'ascending' ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = down > 0 ? 'ascending' : 'descending';
      rows = [...all].sort((a, b) => compare(a.cells[i].textContent, b.cells[i].textContent, down));
      show();
    });
  });
  show();
}

for (const command of document.querySelectorAll('code.command')) {
  const button = make('button', { type: 'button', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    getSelection().selectAllChildren(command);
    try { await navigator.clipboard.writeText(command.textContent); button.textContent = 'Copied'; }
    catch { button.textContent = document.execCommand('copy') ? 'Copied' : 'Selected'; }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
  command.after(' ', button);
}

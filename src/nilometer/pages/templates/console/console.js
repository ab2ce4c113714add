// What a page can do better where scripts may run: filters at once, commands to copy, and numbers that keep up.
const EVERY = 15000;
for (const form of document.querySelectorAll('[data-filter]')) {
  form.addEventListener('change', event => { if (event.target.matches('select')) form.requestSubmit(); });
}

const copies = root => {
  for (const command of root.querySelectorAll('code.command')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      getSelection().selectAllChildren(command);
      try { await navigator.clipboard.writeText(command.textContent); button.textContent = 'Copied'; }
      catch { button.textContent = 'Selected'; }
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
    command.after(' ', button);
  }
};
copies(document);

const main = document.querySelector('main[data-live]');
if (main) {
  let tag = '';
  const isBusy = () => main.contains(document.activeElement) || main.querySelector('details[open]') || String(getSelection());
  const look = async () => {
    if (document.hidden || isBusy()) return;
    const answer = await fetch(location.href, { headers: tag ? { 'if-none-match': tag } : {}, cache: 'no-store' });
    if (!answer.ok || answer.redirected) return;
    const isFirst = !tag;
    tag = answer.headers.get('etag');
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = next.querySelector('main');
    if (!fresh || isBusy() || (isFirst && fresh.textContent === main.textContent)) return;
    main.replaceChildren(...fresh.childNodes);
    document.title = next.title;
    document.querySelector('.bar').replaceWith(next.querySelector('.bar'));
    copies(main);
  };
  setInterval(() => look().catch(() => {}), Number(main.dataset.live) || EVERY);
}

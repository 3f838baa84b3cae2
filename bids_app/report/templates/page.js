// Copy a text; where a page from disk may not use the clipboard, select it instead.
document.querySelectorAll('button[data-copy]').forEach((button) => {
  button.addEventListener('click', async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.innerText);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = 'Selected: press Ctrl-C';
    }
  });
});
// Two images in one place: by hand, or by themselves where the reader has nothing against motion.
document.querySelectorAll('button.change').forEach((button) => {
  const figure = button.closest('figure');
  const [first, other] = figure.querySelectorAll('img');
  const play = figure.querySelector('button.play');
  const change = () => {
    first.hidden = !first.hidden;
    other.hidden = !first.hidden;
    button.setAttribute('aria-pressed', String(first.hidden));
  };
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.setAttribute('aria-pressed', 'false');
  };
  button.addEventListener('click', () => { stop(); change(); });
  play.hidden = matchMedia('(prefers-reduced-motion: reduce)').matches;
  play.addEventListener('click', () => {
    if (timer) { stop(); return; }
    timer = setInterval(change, 700);
    play.setAttribute('aria-pressed', 'true');
  });
});
// What does not scroll at this width needs no place in the order of the keyboard.
{
  const reachable = () => document.querySelectorAll('.scroll').forEach((box) => {
    if (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
    else box.removeAttribute('tabindex');
  });
  addEventListener('load', reachable);
  addEventListener('resize', reachable);
}
// A rating is kept in this browser and saved as a table that the group level reads.
document.querySelectorAll('form.rating').forEach((form) => {
  const key = `rating ${form.dataset.run}`;
  const kept = (() => { try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; } })();
  form.querySelectorAll('input[type=radio]').forEach((choice) => { choice.checked = choice.value === kept.rating; });
  form.elements.note.value = kept.note || '';
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const rating = form.elements.rating.value || 'n/a';
    const note = form.elements.note.value.replace(/[\t\r\n]+/g, ' ').trim() || 'n/a';
    try { localStorage.setItem(key, JSON.stringify({ rating, note })); } catch { /* private window */ }
    const text = `participant_id\trun\trating\tnote\n${form.dataset.subject}\t${form.dataset.run}\t${rating}\t${note}\n`;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/tab-separated-values' }));
    link.download = `${form.dataset.run}_rating.tsv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
});

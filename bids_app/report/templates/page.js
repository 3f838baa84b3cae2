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

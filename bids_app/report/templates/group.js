// Sort tables by their headers: buttons, so that the keyboard reaches them; empty cells always come last.
document.querySelectorAll('table.sortable').forEach((table) => {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'sort';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const numeric = head.classList.contains('number');
      const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, 'en', { numeric: true }));
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === '' || b === '') return (a === '') - (b === '');
        return down ? compare(b, a) : compare(a, b);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
});
// Point at a dot, or go to a row: the same run lights up everywhere.
{
  const dots = new Map();
  document.querySelectorAll('.dot[data-run]').forEach((dot) => {
    const run = dot.dataset.run;
    if (!dots.has(run)) dots.set(run, []);
    dots.get(run).push(dot);
  });
  const rows = new Map([...document.querySelectorAll('tr[data-run]')].map((row) => [row.dataset.run, row]));
  const readings = document.querySelectorAll('output.reading');
  let last = '';
  const light = (run) => {
    if (run === last) return;
    for (const [name, on] of [[last, false], [run, true]]) {
      (name && dots.get(name) || []).forEach((dot) => dot.classList.toggle('lit', on));
      rows.get(name)?.classList.toggle('lit', on);
    }
    last = run;
  };
  document.addEventListener('pointerover', (event) => {
    const dot = event.target.closest?.('.dot');
    const row = event.target.closest?.('tr[data-run]');
    light(dot?.dataset.run || row?.dataset.run || '');
    if (dot) readings.forEach((reading) => { reading.textContent = dot.textContent; });
  });
  document.addEventListener('focusin', (event) => light(event.target.closest?.('tr[data-run]')?.dataset.run || ''));
}
document.getElementById('marked-only')?.addEventListener('change', (event) => {
  document.querySelectorAll('#runs tbody tr').forEach((row) => {
    row.hidden = event.target.checked && !row.classList.contains('marked');
  });
});

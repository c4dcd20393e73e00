// Sorts the table by the column whose heading is pressed; a row shows its entity in the text.
const NUMBERS = ['score', 'start', 'end'];

function sortBy(button) {
  const heading = button.closest('th');
  const rows = element.querySelector('tbody');
  const column = [...heading.parentElement.children].indexOf(heading);
  const direction = heading.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
  const numeric = NUMBERS.includes(button.dataset.column);
  const key = (row) => (numeric ? Number(row.dataset[button.dataset.column]) : row.children[column].textContent);
  const compare = (a, b) => (numeric ? key(a) - key(b) : key(a).localeCompare(key(b)));
  rows.append(...[...rows.children].sort((a, b) => direction * compare(a, b) || a.dataset.start - b.dataset.start));
  element.querySelectorAll('th').forEach((each) => each.setAttribute('aria-sort', 'none'));
  heading.setAttribute('aria-sort', direction === 1 ? 'ascending' : 'descending');
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('th button');
  if (button) { sortBy(button); return; }
  const row = event.target.closest('tbody tr');
  if (!row) return;
  const { start, end, type } = row.dataset;
  const mark = document.querySelector(
    `#jpt-highlight .jpt-entity[data-start="${start}"][data-end="${end}"][data-type="${CSS.escape(type)}"]`,
  );
  if (!mark) return;
  mark.scrollIntoView({ block: 'center', behavior: 'smooth' });
  mark.classList.remove('jpt-flash');
  requestAnimationFrame(() => mark.classList.add('jpt-flash'));
});

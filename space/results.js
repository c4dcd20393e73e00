// Makes the highlighted text answer: scores on hover, arrow keys from word to word, click or Enter for "why".
const tip = document.createElement('div');
tip.className = 'jpt-tip';
tip.setAttribute('role', 'tooltip');
tip.hidden = true;
document.body.append(tip);

function entitiesAt(node) {
  const found = [];
  for (let mark = node.closest('.jpt-entity'); mark; mark = mark.parentElement.closest('.jpt-entity')) found.push(mark);
  return found;
}

function showTip(node) {
  const marks = entitiesAt(node);
  tip.hidden = marks.length === 0;
  if (tip.hidden) return;
  tip.replaceChildren(...marks.map((mark) => {
    const line = document.createElement('div');
    line.textContent = `${mark.dataset.type}  ${Number(mark.dataset.score).toFixed(2)}`;
    return line;
  }));
  const box = marks[0].getClientRects()[0];
  const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 6}px`;
}

function explain(word) {
  element.querySelectorAll('.jpt-word.jpt-asked').forEach((each) => each.classList.remove('jpt-asked'));
  element.querySelectorAll(`.jpt-word[data-word="${word.dataset.word}"]`).forEach((each) => each.classList.add('jpt-asked'));
  trigger('select', { word: Number(word.dataset.word) });
}

function focusWord(word) {
  if (!word) return;
  element.querySelectorAll('.jpt-word[tabindex="0"]').forEach((each) => each.setAttribute('tabindex', '-1'));
  word.setAttribute('tabindex', '0');
  word.focus();
}

element.addEventListener('mouseover', (event) => showTip(event.target));
element.addEventListener('mouseleave', () => { tip.hidden = true; });
element.addEventListener('focusin', (event) => showTip(event.target));
element.addEventListener('focusout', () => { tip.hidden = true; });

element.addEventListener('click', (event) => {
  const chip = event.target.closest('.jpt-chip[data-type]');
  if (chip) {
    const on = chip.getAttribute('aria-pressed') !== 'true';
    element.querySelectorAll('.jpt-chip[data-type]').forEach((each) => each.setAttribute('aria-pressed', 'false'));
    chip.setAttribute('aria-pressed', String(on));
    element.querySelectorAll('.jpt-entity').forEach((mark) => {
      mark.classList.toggle('jpt-faded', on && mark.dataset.type !== chip.dataset.type);
    });
    return;
  }
  const word = event.target.closest('.jpt-word');
  if (word) {
    focusWord(word);
    explain(word);
  }
});

element.addEventListener('keydown', (event) => {
  const word = event.target.closest('.jpt-word');
  if (!word || event.ctrlKey || event.metaKey) return;
  const words = [...element.querySelectorAll('.jpt-word')];
  const at = words.indexOf(word);
  const target = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: words.length - 1 }[event.key];
  if (event.key === 'Enter' || event.key === ' ') explain(word);
  else if (target !== undefined) focusWord(words[target]);
  else return;
  event.preventDefault();
});

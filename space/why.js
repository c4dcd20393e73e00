// Shows the probabilities of the token whose button is pressed.
element.addEventListener('click', (event) => {
  const button = event.target.closest('.jpt-token');
  if (!button) return;
  element.querySelectorAll('.jpt-token').forEach((each) => each.setAttribute('aria-pressed', String(each === button)));
  element.querySelectorAll('.jpt-view').forEach((view, index) => { view.hidden = index !== Number(button.dataset.view); });
});

// Ctrl-Enter (or Command-Enter) finds, from wherever one is typing.
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
  const shown = ['jpt-run', 'jpt-compare-run', 'jpt-batch-run']
    .map((id) => document.getElementById(id))
    .find((button) => button && button.offsetParent !== null);
  if (!shown) return;
  event.preventDefault();
  shown.click();
}, true);

// The link in the help opens the comparison of generic with precise definitions, and runs it.
function whenThere(id, act, patience = 50) {
  const node = document.getElementById(id);
  if (node) act(node);
  else if (patience) setTimeout(() => whenThere(id, act, patience - 1), 100);
}

document.addEventListener('click', (event) => {
  if (!event.target.closest('.jpt-see-compare')) return;
  event.preventDefault();
  whenThere('jpt-tab-compare-button', (tab) => tab.click());
  whenThere('jpt-compare-example', (example) => {
    example.click();
    setTimeout(() => whenThere('jpt-compare-run', (run) => run.click()), 600);
  });
});

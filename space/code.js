// Code as text, with a button that copies it.
const pre = element.querySelector('pre');
const button = element.querySelector('.jpt-copy');

function show() {
  pre.textContent = props.value || '';
  element.querySelector('.jpt-code').hidden = !props.value;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(pre.textContent);
  } catch {
    const range = document.createRange();  // pages in frames may not write to the clipboard
    range.selectNodeContents(pre);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand('copy');
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy as Python'; }, 1500);
}

button.addEventListener('click', copy);
watch('value', show);
show();

// Draws the rows of the table of types and keeps `props.value`, a schema in the file format, up to date.
const list = element.querySelector('.jpt-type-list');
const addButton = element.querySelector('.jpt-type-add');
const ICONS = {
  up: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 13V3M3.5 7.5 8 3l4.5 4.5"/></svg>',
  down: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 3v10M3.5 8.5 8 13l4.5-4.5"/></svg>',
  remove: '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="m4 4 8 8M12 4l-8 8"/></svg>',
};
let types = [];
let checking = 0;
let timer = null;

function make(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function commit() {
  props.value = { ...props.value, entity_types: types.map((type) => ({ ...type })) };
  trigger('input');
  scheduleCheck();
}

function move(index, step) {
  const target = index + step;
  if (target < 0 || target >= types.length) return;
  [types[index], types[target]] = [types[target], types[index]];
  draw();
  commit();
  const button = step < 0 ? '.jpt-type-up' : '.jpt-type-down';
  const other = step < 0 ? '.jpt-type-down' : '.jpt-type-up';
  const row = list.children[target];
  const focus = row.querySelector(button);
  (focus.disabled ? row.querySelector(other) : focus).focus();
}

function remove(index) {
  types.splice(index, 1);
  draw();
  commit();
  const row = list.children[Math.min(index, types.length - 1)];
  (row ? row.querySelector('.jpt-type-remove') : addButton).focus();
}

function add() {
  const used = new Set(types.map((type) => type.colour));
  const colour = props.palette.find((each) => !used.has(each)) || props.palette[types.length % props.palette.length];
  types.push({ name: '', definition: '', colour });
  draw();
  commit();
  const row = list.lastElementChild;
  row.scrollIntoView({ block: 'nearest' });
  row.querySelector('.jpt-type-name').focus();
}

function iconButton(action, index, label, disabled) {
  const button = make('button', `jpt-icon jpt-type-${action}`, { type: 'button', 'aria-label': label, title: label });
  button.innerHTML = ICONS[action];
  button.disabled = disabled;
  button.addEventListener('click', () => (action === 'remove' ? remove(index) : move(index, action === 'up' ? -1 : 1)));
  return button;
}

function fit(area) {
  if (CSS.supports('field-sizing', 'content')) return;
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight}px`;
}

function field(type, key, node, read) {
  node.addEventListener('input', () => {
    const value = read(node);
    if (value === undefined) delete type[key];
    else type[key] = value;
    commit();
  });
  return node;
}

function row(type, index) {
  const shown = type.name || `type ${index + 1}`;
  const item = make('li', 'jpt-type', { 'data-index': index });

  const head = make('div', 'jpt-type-head');
  const colour = make('input', 'jpt-type-colour', { type: 'color', 'aria-label': `Colour of ${shown}` });
  colour.value = type.colour || '#dddddd';
  field(type, 'colour', colour, (node) => node.value);
  const name = make('input', 'jpt-type-name', {
    type: 'text', 'aria-label': `Name of type ${index + 1}`, placeholder: 'Name', spellcheck: 'false', maxlength: 80,
  });
  name.value = type.name || '';
  field(type, 'name', name, (node) => node.value);
  head.append(
    colour, name,
    iconButton('up', index, `Move ${shown} up`, index === 0),
    iconButton('down', index, `Move ${shown} down`, index === types.length - 1),
    iconButton('remove', index, `Remove ${shown}`, false),
  );

  const definition = make('textarea', 'jpt-type-definition', {
    rows: 2, 'aria-label': `Definition of ${shown}`, maxlength: 2000, 'aria-describedby': `${element.id}-notes-${index}`,
    placeholder: 'What counts as one, what does not, and two or three examples.',
  });
  definition.value = type.definition || '';
  field(type, 'definition', definition, (node) => node.value);
  definition.addEventListener('input', () => fit(definition));

  const more = make('details', 'jpt-type-more');
  const summary = make('summary', '');
  summary.textContent = 'Threshold, examples';
  const thresholdLabel = make('label', 'jpt-type-field');
  thresholdLabel.append('Threshold of its own');
  const threshold = make('input', 'jpt-type-threshold', {
    type: 'number', min: 0, max: 1, step: 0.05, placeholder: 'none', inputmode: 'decimal',
    'aria-label': `Threshold of ${shown}, from 0 to 1; empty for none of its own`,
  });
  threshold.value = type.threshold ?? '';
  field(type, 'threshold', threshold, (node) => (node.value === '' ? undefined : Number(node.value)));
  thresholdLabel.append(threshold);
  const examplesLabel = make('label', 'jpt-type-field jpt-type-field-wide');
  examplesLabel.append('Examples, one a line (read by the model after the definition)');
  const examples = make('textarea', 'jpt-type-examples', { rows: 1, 'aria-label': `Examples of ${shown}, one a line` });
  examples.value = (type.examples || []).join('\n');
  field(type, 'examples', examples, (node) => {
    const lines = node.value.split('\n').map((line) => line.trim()).filter(Boolean);
    return lines.length ? lines : undefined;
  });
  examplesLabel.append(examples);
  more.append(summary, thresholdLabel, examplesLabel);
  if (type.threshold != null) summary.textContent = `Threshold ${type.threshold}, examples`;

  const foot = make('div', 'jpt-type-foot');
  foot.append(make('div', 'jpt-type-notes', { id: `${element.id}-notes-${index}` }), more);
  item.append(head, definition, foot);
  return item;
}

function draw() {
  list.replaceChildren(...types.map(row));
  list.querySelectorAll('textarea').forEach(fit);
  addButton.disabled = types.length >= props.max_types;
}

function showNotes(notes) {
  [...list.children].forEach((item, index) => {
    const place = item.querySelector('.jpt-type-notes');
    const parts = (notes.traits[index] || []).map((trait) => {
      const chip = make('span', `jpt-trait${trait.met ? ' jpt-trait-met' : ''}`, { title: trait.help });
      chip.textContent = `${trait.met ? '✓' : '○'} ${trait.label}`;
      return chip;
    });
    for (const message of notes.warnings[index] || []) {
      const warning = make('p', 'jpt-warning');
      warning.textContent = message;
      parts.push(warning);
    }
    if (parts.length) place.replaceChildren(...parts);
  });
}

async function check() {
  const turn = ++checking;
  try {
    const notes = await server.check_types(props.value);
    if (turn === checking) showNotes(notes);
  } catch (error) {
    console.warn('The types could not be checked.', error);
  }
}

function scheduleCheck() {
  clearTimeout(timer);
  timer = setTimeout(check, 600);
}

function load() {
  types = ((props.value || {}).entity_types || []).map((type) => ({ ...type }));
  draw();
  scheduleCheck();
}

addButton.addEventListener('click', add);
watch('value', load);
load();

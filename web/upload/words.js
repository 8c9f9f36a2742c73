// The words of the page. The server has chosen the language and sends its words with the page.
const all = JSON.parse(document.getElementById('words').textContent)
const lang = document.documentElement.lang

// isolate marks a text that may have another direction than the text around it.
export const isolate = (text) => `\u2068${text}\u2069`

// say returns a text with its {values}. A list is a part of the sentence, other values are isolated.
export function say(key, values = {}) {
  return (all[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) =>
    name === 'formats' ? values.formats : isolate(values[name] ?? ''))
}

// has reports whether there is a text.
export const has = (key) => key in all

const unit = (name, value, digits = 0) => new Intl.NumberFormat(lang, {
  style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: digits,
}).format(value)

export const number = (value, digits = 0) => new Intl.NumberFormat(lang, { maximumFractionDigits: digits }).format(value)
export const percent = (part) => new Intl.NumberFormat(lang, { style: 'percent' }).format(Math.floor(part * 100) / 100)
export const list = (names) => new Intl.ListFormat(lang, { type: 'disjunction' }).format(names.map(isolate))
export const side = (width, height) => `${number(width)} × ${number(height)}`

// bytes never rounds up: what it says of a limit is within the limit.
export function bytes(n, per = '') {
  const [name, size] = n < 1e6 ? ['kilobyte', n / 1e3] : ['megabyte', n / 1e6]
  const digits = size < 100 ? 1 : 0
  return unit(name + per, Math.floor(size * 10 ** digits) / 10 ** digits, digits)
}

export function duration(seconds) {
  if (seconds < 60) return unit('second', Math.max(1, Math.ceil(seconds)))
  if (seconds < 5400) return unit('minute', Math.ceil(seconds / 60))
  return unit('hour', seconds / 3600, 1)
}

// moment is a time, with its day if that is not today.
export function moment(date) {
  const today = new Date().toDateString() === date.toDateString()
  return new Intl.DateTimeFormat(lang, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' })
    .format(date)
}

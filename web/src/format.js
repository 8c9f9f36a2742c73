// bytes writes a size as people do.
export function bytes(n) {
  if (n < 1024) return `${n} B`
  const [unit, size] = n < 1024 * 1024 ? ['KiB', n / 1024] : ['MiB', n / 1024 / 1024]
  return `${size.toFixed(size < 10 && !Number.isInteger(size) ? 1 : 0)} ${unit}`
}

const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\b\d+(?:\.\d+)?\b/g

// pieces splits JSON text into [kind, text] to be coloured: key, string, value or plain.
export function pieces(json) {
  const all = []
  let end = 0
  for (const match of json.matchAll(token)) {
    if (match.index > end) all.push(['plain', json.slice(end, match.index)])
    const [whole, string, colon] = match
    if (colon) all.push(['key', string], ['plain', colon])
    else all.push([string ? 'string' : 'value', whole])
    end = match.index + whole.length
  }
  if (end < json.length) all.push(['plain', json.slice(end)])
  return all
}

// copy puts text on the clipboard, also where the page did not come by a secure way.
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text)
    return
  }
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'unseen'
  const focused = document.activeElement
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  focused?.focus()
  if (!done) throw new Error('this browser does not let pages copy')
}

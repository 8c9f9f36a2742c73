// <calotype-upload url="..."> lets a user choose or drop one picture and uploads it to a one-time URL.
//
// Attributes: url, accept ("image/*"), name (in a form, whose value is the receipt of the upload). The text of
// the button is the element's content. Events: progress, uploaded (detail: the result), refused (detail: a
// Refusal). Methods: upload(file), pause(), resume(). The parts button, pause, bar and status can be styled.
import { texts, upload } from './upload.js'

const sheet = new CSSStyleSheet()
sheet.replaceSync(`
:host { display: inline-grid; gap: .5rem; min-width: 14rem; max-width: 100%; font: inherit }
:host([hidden]) { display: none }
.row { display: flex; flex-wrap: wrap; gap: .5rem }
label, button { box-sizing: border-box; min-height: 2.75rem; padding: .6rem 1rem; font: inherit; line-height: 1.4;
  text-align: center; color: inherit; background: transparent; border: 1px solid; border-radius: 6px; cursor: pointer }
label { flex: 1 }
.over label { border-style: dashed }
.busy label { opacity: .6; cursor: default }
label:focus-within, button:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
input { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
progress { width: 100%; height: .4rem; accent-color: currentColor }
p { width: 0; min-width: 100%; margin: 0; font-size: .875em; line-height: 1.5; min-height: 1.5em; overflow-wrap: anywhere }
[hidden] { display: none }`)

export class CalotypeUpload extends HTMLElement {
  static formAssociated = true

  // What the element says, unless the server says it. A page in another language changes it when the script is loaded.
  static words = {
    choose: 'Choose a picture', pause: 'Pause', resume: 'Resume', bar: 'Upload', paused: 'Paused.',
    sending: (percent) => `${percent} %`, waiting: 'No connection. The upload continues by itself.',
    checking: 'The server is checking the picture.', uploaded: 'Uploaded.',
    ...texts,
  }

  #internals = this.attachInternals()
  #parts = {}
  #file = null
  #stop = null // aborts the upload that is running

  constructor() {
    super()
    const root = this.attachShadow({ mode: 'open', delegatesFocus: true })
    root.adoptedStyleSheets = [sheet]
    const add = (to, tag, part, properties) => {
      this.#parts[part] = Object.assign(document.createElement(tag), { part, ...properties })
      to.append(this.#parts[part])
      return this.#parts[part]
    }
    const row = add(root, 'div', 'row', { className: 'row' })
    const button = add(row, 'label', 'button')
    add(button, 'slot', 'text')
    add(button, 'input', 'input', { type: 'file', onchange: ({ target }) => {
      this.upload(target.files[0])
      target.value = '' // so that the same file can be chosen again
    } })
    add(row, 'button', 'pause', { type: 'button', hidden: true,
      onclick: () => this.#stop ? this.pause() : this.resume() })
    add(root, 'progress', 'bar', { max: 1, value: 0, hidden: true })
    const status = add(root, 'p', 'status')
    status.setAttribute('role', 'status')
    this.#parts.status = document.createElement('bdi') // refusals are English, also on a page from right to left
    status.append(this.#parts.status)
    this.addEventListener('dragover', (event) => {
      event.preventDefault()
      row.classList.add('over')
    })
    this.addEventListener('dragleave', () => row.classList.remove('over'))
    this.addEventListener('drop', (event) => {
      event.preventDefault()
      row.classList.remove('over')
      this.upload(event.dataTransfer.files[0])
    })
  }

  connectedCallback() {
    this.#parts.input.accept = this.getAttribute('accept') ?? 'image/*'
    this.#name()
    requestAnimationFrame(() => this.#name()) // the script that has loaded this one may change the words
  }

  #name() {
    this.#parts.text.textContent = CalotypeUpload.words.choose
    this.#parts.bar.setAttribute('aria-label', CalotypeUpload.words.bar)
  }

  disconnectedCallback() {
    this.pause()
  }

  get url() {
    return this.getAttribute('url') ?? ''
  }

  set url(url) {
    this.setAttribute('url', url)
  }

  // upload sends a file, and reports what happens by events. It does nothing while an upload is running.
  async upload(file) {
    if (!file || this.#stop) return
    const { words } = CalotypeUpload
    const { bar, input, pause, row, status } = this.#parts
    this.#file = file
    const stop = this.#stop = new AbortController()
    const say = (text) => {
      if (status.textContent !== text) status.textContent = text
    }
    const textOf = ({ reason, status, message }) => {
      const text = words[reason] ?? message
      return typeof text === 'function' ? text(status) : text
    }
    this.#name()
    row.classList.add('busy')
    input.disabled = true
    bar.hidden = pause.hidden = false
    pause.textContent = words.pause
    try {
      const result = await upload(this.url, file, { signal: stop.signal, onprogress: (progress) => {
        bar.value = progress.sent / progress.total
        say(progress.waiting ? progress.status ? textOf(progress) : words.waiting :
          progress.sent === progress.total ? words.checking :
            words.sending(Math.floor(bar.value * 10) * 10)) // a screen reader reads ten steps
        this.#send('progress', progress)
      } })
      this.#internals.setFormValue(result.receipt ?? result.id)
      say(words.uploaded)
      pause.hidden = true
      this.#send('uploaded', result)
    } catch (error) {
      if (stop.signal.aborted) {
        say(words.paused)
        pause.textContent = words.resume
      } else {
        say(textOf(error))
        pause.hidden = bar.hidden = !error.temporary
        pause.textContent = words.resume
        this.#send('refused', error)
      }
    }
    row.classList.remove('busy')
    input.disabled = false
    this.#stop = null
  }

  // pause ends the running upload; resume continues it.
  pause() {
    this.#stop?.abort()
  }

  resume() {
    return this.upload(this.#file)
  }

  #send(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }))
  }
}

if (!customElements.get('calotype-upload')) customElements.define('calotype-upload', CalotypeUpload)

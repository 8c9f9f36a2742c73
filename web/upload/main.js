import { mount } from 'svelte'
import Page from './Page.svelte'
import './page.css'

// The page replaces the plain form, and takes what the form has: the answer to the picture that the form sent before,
// and a file that the user has chosen while the script was loading. A form that is being sent stays.
const target = document.getElementById('page')
if (!target.querySelector('form.sent')) {
  const notice = target.querySelector('.note')?.textContent ?? ''
  const files = [...target.querySelector('input[type=file]')?.files ?? []]
  target.replaceChildren()
  mount(Page, { target, props: { notice, files } })
}

// The snippets of docs/guides/upload-from-the-browser.md, by the name of the file that a page has
// them in. They are bundled as they stand there.
import { readFileSync } from 'node:fs'

const page = readFileSync(
  new URL('../../docs/guides/upload-from-the-browser.md', import.meta.url), 'utf8')

// Of each heading that has code, the file in which others import it.
const files = {
  'Your backend': 'backend.js', 'calotype-upload': 'element.js', 'The function upload': 'uploader.js',
  'fetch': 'upload.js', 'XMLHttpRequest, with progress': 'upload-progress.js', 'axios': 'axios.js',
  'React': 'react.jsx', 'Uppy': 'uppy.js', 'Uppy with tus': 'uppy-tus.js',
  'FilePond': 'filepond.js', 'Dropzone': 'dropzone.js',
}

// Of each heading that has HTML, the name of its page.
const htmlFiles = { 'calotype-upload': 'element.html', 'Plain form': 'form.html' }

export const snippets = new Map()
for (const section of page.split(/^## /m).slice(1)) {
  const heading = section.slice(0, section.indexOf('\n'))
  const code = [...section.matchAll(/^```jsx?\n([^]*?)^```$/gm)].map((match) => match[1])
  const html = [...section.matchAll(/^```html\n([^]*?)^```$/gm)].map((match) => match[1])
  if (html.length > 1 || html.length && !htmlFiles[heading]) throw new Error(`the guide has unknown HTML: ${heading}`)
  if (html.length) snippets.set(htmlFiles[heading], html[0])
  if (code.length === 0) continue
  if (code.length > 1 || !files[heading]) throw new Error(`the guide has unknown code: ${heading}`)
  snippets.set(files[heading], code[0])
}
for (const file of [...Object.values(files), ...Object.values(htmlFiles)]) {
  if (!snippets.has(file)) throw new Error(`the guide lacks the snippet ${file}`)
}

// guide is a plugin of esbuild that finds "guide/<file>".
export const guide = {
  name: 'guide',
  setup(build) {
    build.onResolve({ filter: /^guide\// }, ({ path }) => ({ path: path.slice(6), namespace: 'guide' }))
    build.onResolve({ filter: /^\.\//, namespace: 'guide' },
      ({ path }) => ({ path: path.slice(2), namespace: 'guide' }))
    build.onLoad({ filter: /.*/, namespace: 'guide' }, ({ path }) => ({
      contents: snippets.get(path), loader: 'jsx', resolveDir: import.meta.dirname,
    }))
  },
}

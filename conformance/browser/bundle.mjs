// Prints the script of a page with the guide's Uppy over tus, for the tests in e2e that break its connection. The
// address of the page has the one-time URL.
import { build } from 'esbuild'

import { guide } from './guide.mjs'

const contents = `
  import { mount } from 'guide/uppy-tus.js'
  const uploadURL = new URL(location.href).searchParams.get('url')
  globalThis.outcome = null
  mount(document.getElementById('root'), async () => uploadURL, (result) => { globalThis.outcome = { result } })`
const { outputFiles } = await build({
  stdin: { contents, resolveDir: import.meta.dirname }, bundle: true, write: false, format: 'esm', minify: true,
  target: 'chrome110', plugins: [guide], jsx: 'automatic', logLevel: 'warning',
  define: { 'process.env.NODE_ENV': '"production"' },
})
process.stdout.write(outputFiles[0].contents)

// Serves the files of the guide's app for Next.js without Next.js, whose modules have 460 MB: each route handler gets a
// Request, and the page is bundled by esbuild.
//
//   node next.mjs FOLDER
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = process.argv[2]
const { build } = createRequire(join(folder, 'package.json'))('esbuild')
const bundle = await build({
  stdin: {
    contents: `import { createRoot } from 'react-dom/client'
      import Page from './app/page.jsx'
      createRoot(document.body).render(<Page />)`,
    loader: 'jsx', resolveDir: folder,
  },
  bundle: true, write: false, jsx: 'automatic', format: 'esm', logLevel: 'error',
})

// The pattern of each route handler by its path, as app/api/pictures/[id]/route.js.
const handlers = []
for (const path of readdirSync(join(folder, 'app'), { recursive: true })) {
  if (!path.endsWith('/route.js')) continue
  const pattern = path.slice(0, -'/route.js'.length).replaceAll(/\[(\w+)\]/g, '(?<$1>[^/]+)')
  handlers.push([new RegExp(`^/${pattern}$`), await import(pathToFileURL(join(folder, 'app', path)))])
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost')
  if (pathname === '/') {
    return response.setHeader('Content-Type', 'text/html')
      .end(`<!doctype html><body><script type="module">${bundle.outputFiles[0].text}</script>`)
  }
  for (const [pattern, handler] of handlers) {
    const found = pattern.exec(pathname)
    if (!found) continue
    const { method } = request
    const given = new Request(`http://localhost${request.url}`, { method })
    const got = await handler[method](given, { params: Promise.resolve({ ...found.groups }) })
    return response.writeHead(got.status, Object.fromEntries(got.headers)).end(await got.text())
  }
  response.writeHead(404).end()
}

const server = createServer((request, response) => answer(request, response).catch((error) => {
  console.error(error)
  response.writeHead(500).end()
}))
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))

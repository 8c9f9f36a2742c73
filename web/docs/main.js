// The viewer is Swagger UI. Its requests go to the server in the description only.
import SwaggerUI from 'swagger-ui-dist/swagger-ui-es-bundle.js'
import 'swagger-ui-dist/swagger-ui.css'
import './page.css'

const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
follow()
dark.addEventListener('change', follow)

const api = document.getElementById('api')

// What the viewer lacks: names of its lists, and a way to scroll its examples by the keyboard.
new MutationObserver(() => {
  api.querySelectorAll('select:not([aria-label])').forEach((list) => list.setAttribute('aria-label',
    list.id === 'servers' ? 'Server' : list.className.includes('examples') ? 'Example' : 'Value'))
  api.querySelectorAll('.microlight:not([tabindex])').forEach((example) => { example.tabIndex = 0 })
}).observe(api, { childList: true, subtree: true })

SwaggerUI({
  url: '/docs/openapi.json',
  domNode: api,
  validatorUrl: null, // otherwise it sends the description to a public validator
  deepLinking: true,
  docExpansion: 'none',
  filter: true,
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  displayRequestDuration: true,
  syntaxHighlight: { theme: 'tomorrow-night' },
})

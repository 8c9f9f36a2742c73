import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// The server serves the page at /try under a policy that allows no inline script, style or picture.
export default defineConfig({
  base: '/try/',
  plugins: [svelte({ emitCss: true })],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
})

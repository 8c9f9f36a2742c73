import { defineConfig } from 'vite'

// The viewer of the API's description. The server serves it at /docs under a policy that allows no inline script or
// style, and no eval.
export default defineConfig({
  root: 'docs',
  base: '/docs/',
  publicDir: false,
  build: {
    target: 'es2022',
    outDir: '../dist/docs',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2000, // KB: the viewer is one bundle
  },
})

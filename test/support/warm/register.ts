// To be imported before the package `webgpu` is: from here on this process gets webgpu.ts in its place.
import { registerHooks } from 'node:module'

const replacement = new URL('./webgpu.ts', import.meta.url).href

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context)
    const isPackage = resolved.url.endsWith('/node_modules/webgpu/index.js')
    return isPackage && context.parentURL !== replacement ? next(replacement, context) : resolved
  },
})

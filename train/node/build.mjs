// `npm run build`: the package as it is installed, in dist/ or in a new folder that an argument names. Node refuses to
// strip types below node_modules, so tsc does, and what the command needs besides code is copied.
import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)
const at = path => fileURLToPath(new URL(path, root))
const [folder] = process.argv.slice(2)
const out = folder === undefined ? at('dist') : resolve(folder)

// Only the default folder may hold an older build.
if (folder === undefined) rmSync(out, { recursive: true, force: true })
const tsc = [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.build.json'), '--outDir', out]
execFileSync(process.execPath, tsc, { stdio: 'inherit' })
for (const path of ['train/node/bundled/model', 'train/node/bundled/reviews', 'train/node/bundled/recorded']) {
  cpSync(at(path), join(out, path), { recursive: true, filter: file => !file.endsWith('.ts') })
}

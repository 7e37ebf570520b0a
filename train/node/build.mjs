// `npm run build`: the package as it is installed, in dist/. Node refuses to strip types below node_modules, so tsc does, and
// what the command needs besides code is copied.
import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)
const at = path => fileURLToPath(new URL(path, root))

rmSync(at('dist'), { recursive: true, force: true })
execFileSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.build.json')], { stdio: 'inherit' })
for (const path of ['package.json', 'LICENSE', 'train/node/bundled/model', 'train/node/bundled/reviews']) cpSync(at(path), at(`dist/${path}`), { recursive: true })

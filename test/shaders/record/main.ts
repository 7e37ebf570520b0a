// `npm run kernels:record`: compares every kernel's launches with the record and lists what changed (status 1).
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { currentTexts, differences, hashesOf, recordedHashes, writeHashes, writeTexts } from './record.ts'

const HELP = `Compares the launches of every kernel (WGSL, uniforms, workgroups) with the record, test/shaders/record/hashes.json.

  --write FOLDER  writes all texts to a folder
  --diff COMMIT   shows how texts differ from those of a commit
  --update        records the launches as they are
  --help          this text
`

/** The texts of a commit, from a checkout of its own, beside those of today. */
async function showDiff(commit: string, texts: ReadonlyMap<string, string>): Promise<void> {
  const root = join(import.meta.dirname, '../../..')
  const folder = await mkdtemp(join(tmpdir(), 'kernels-'))
  const checkout = join(folder, 'checkout')
  try {
    execFileSync('git', ['worktree', 'add', '--quiet', '--detach', checkout, commit], { cwd: root })
    await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'))
    execFileSync(process.execPath, [join(checkout, 'test/shaders/record/main.ts'), '--write', join(folder, 'before')], {
      stdio: 'inherit',
    })
    await writeTexts(texts, join(folder, 'after'))
    spawnSync('git', ['diff', '--no-index', '--no-prefix', 'before', 'after'], { cwd: folder, stdio: 'inherit' })
  } finally {
    spawnSync('git', ['worktree', 'remove', '--force', checkout], { cwd: root })
    await rm(folder, { recursive: true, force: true })
  }
}

const { values } = parseArgs({
  options: {
    write: { type: 'string' },
    diff: { type: 'string' },
    update: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})
if (values.help) process.stdout.write(HELP)
else {
  const texts = await currentTexts()
  const hashes = hashesOf(texts)
  if (values.write !== undefined) await writeTexts(texts, values.write)
  else if (values.diff !== undefined) await showDiff(values.diff, texts)
  else if (values.update) await writeHashes(hashes)
  else {
    const changed = differences(await recordedHashes(), hashes)
    process.stdout.write(
      [...changed, `${hashes.size} entries, ${changed.length} differ from the record`, ''].join('\n'),
    )
    if (changed.length > 0) process.exitCode = 1
  }
}
